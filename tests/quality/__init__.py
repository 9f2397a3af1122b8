"""How near to the truth the presets come: photos made small, spoilt, enlarged again, compared with what they were."""
