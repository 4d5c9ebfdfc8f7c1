"""How each kind of node advances: one small module per kind, with what starts it and what a child's end means to it."""
