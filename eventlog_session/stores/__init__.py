"""Stores behind one port: `base` is the port, the others implement it."""
