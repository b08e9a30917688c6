"""What is loaded into a PostgreSQL, and the SQL of the documentation over it."""
