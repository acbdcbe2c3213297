"""The pure core: values in, values out. Nothing in here awaits, reads a clock, draws a random number or knows a store."""
