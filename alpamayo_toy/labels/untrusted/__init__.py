"""Files that were given: npz, .pt, pickles and Parquet read without executing anything."""
