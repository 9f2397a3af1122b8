"""What a scene adds around the network: haze is taken off before it, faces are restored after it."""
