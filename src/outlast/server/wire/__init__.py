"""What goes over the wire: bodies, answers, and the forms of the reference that other clients know."""
