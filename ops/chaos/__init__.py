"""The chaos: a Darkroom of its own under fire, and the proof that it loses, doubles and mixes up nothing."""
