"""The layouts that are read, by name, and their files' suffixes. Imports nothing, so that a command can list them."""

FORMATS = {
    "set": "the project's own folder",
    "labels_npz": "the project's own one file",
    "results_json": "a JSON list of records with pred_xyz",
    "clip_json": "a JSON object with predicted_xyz, of one clip or results",
    "jsonl": "JSON lines, a record each",
    "community_npz": "npz with clip_ids and trajectory_xyz, or pred_xyz",
    "sample_pt": ".pt with pred_xyz",
    "pickle": "a pickle with pred_xyz",
    "npy": "a folder a clip with trajectories.npy",
    "drives": "npz or .pt with ego_history_xyz and ego_future_xyz",
    "flat_parquet": "Parquet with a row per clip, t0 and sample",
    "rows_parquet": "Parquet with a row per clip",
    "egomotion": "PhysicalAI-AV egomotion Parquet",
    "zip": "a zip of any of these",
}
LAYOUTS = {".npz": "community_npz", ".pt": "sample_pt", ".pth": "sample_pt", ".npy": "npy"}
LAYOUTS |= {".jsonl": "jsonl", ".ndjson": "jsonl", ".pkl": "pickle", ".pickle": "pickle"}
SUFFIXES = (".json", ".npz", ".pt", ".parquet", ".jsonl", ".ndjson", ".npy", ".pkl", ".pickle", ".pth", ".zip")
