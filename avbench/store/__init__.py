"""The clip store: clips decoded once into shards on disk, read at random, every byte checked."""
