"""What a program shows of itself to those who operate it: traces and numbers."""
