"""The routes. Each takes a request apart, asks the service, and puts the answer into its form."""
