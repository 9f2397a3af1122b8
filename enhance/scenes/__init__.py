"""What presets add to the network: restored faces, and the removal of haze."""
