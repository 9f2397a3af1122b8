"""The networks of the product and the models they run with."""
