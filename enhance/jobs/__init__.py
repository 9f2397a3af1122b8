"""Work and its order: the scheduler of the device, batches, and many machines."""
