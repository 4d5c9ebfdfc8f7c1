"""The command line `outlast`. Nothing of it is loaded by `import outlast`."""
