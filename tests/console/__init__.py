"""What people see: pages, pictures, and the files they load."""
