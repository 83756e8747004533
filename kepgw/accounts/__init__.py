"""accounts: addresses, rights and passwords; rules without input, output or clock."""
