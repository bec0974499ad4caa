"""Students: scene -> actions -> trajectories, what they are punished for, and how they are kept."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alpamayo_toy.students.student import Student as Student

__all__ = ["Student"]


def __getattr__(name: str) -> Any:
    """The student is imported when asked for: its options need not wait for PyTorch."""
    if name != "Student":
        raise AttributeError(f"module 'alpamayo_toy.students' has no attribute {name!r}")
    return import_module("alpamayo_toy.students.student").Student
