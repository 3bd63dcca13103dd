"""COPY INTO <table>: the statement, its files, the CSV in them."""
