"""The backup of an installation: one archive of its database, its media and the secret files of its data folder."""
