"""SQL: tables, migrations, transactions, error translation."""
