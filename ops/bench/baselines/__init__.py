"""What benches compare Darkroom with."""
