"""SQL: tables, migrations, error translation."""
