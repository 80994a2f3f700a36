"""Who may try for the championship, who wins it, and on what evidence."""
