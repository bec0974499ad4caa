"""What people look at: pictures, pages, TensorBoard."""
