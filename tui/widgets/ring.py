"""The rows that the live tail holds: the last 100,000, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
CAPACITY = 100_000


class Ring(Generic[T]):
    """The last `capacity` rows, numbered from the first row ever added. All operations but `extend` cost the same at any size."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.added = 0
        self._slots: list[T] = []

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def first(self) -> int:
        """The number of the oldest row still here."""
        return self.added - len(self._slots)

    def extend(self, rows: Sequence[T]) -> None:
        slots, capacity = self._slots, self.capacity
        for row in rows:
            if len(slots) < capacity:
                slots.append(row)
            else:
                slots[self.added % capacity] = row
            self.added += 1

    def prepend(self, rows: Sequence[T]) -> int:
        """Older rows in front. Returns by how much the number of each row that was here has changed."""
        shift = len(rows) - self.first
        held = [self[number] for number in range(self.first, self.added)]
        self.clear()
        self.extend([*rows, *held])
        return shift

    def __getitem__(self, number: int) -> T:
        if not self.first <= number < self.added:
            raise IndexError(number)
        return self._slots[number % self.capacity]

    def clear(self) -> None:
        self._slots.clear()
        self.added = 0
