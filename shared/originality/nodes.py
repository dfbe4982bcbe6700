"""Nodes of the normalised tree, which know their hashes down to a few levels."""

from collections.abc import Iterable

from shared.originality.hashing import label, mix

RAW_DEPTHS = (2, 3)  # levels below the node, names of temporaries as they stand
RESOLVED_DEPTHS = (2, 3, 5)  # levels below the node, temporaries replaced by their values


class Node:
    """A normalised node.

    Attributes:
        label: Hash of what it is.
        kids: What stands below.
        sorted: Whether the order of the kids means nothing.
        name: The temporary that it reads, if it reads one.
        raw: `raw[d]` is the hash of what stands within d levels, names as they are; shorter where the tree ends.
        memo: Depth -> hash with temporaries replaced by their values.
    """

    __slots__ = ("kids", "label", "memo", "name", "raw", "sorted")

    def __init__(self, text: str, kids: Iterable["Node"] = (), *, commutes: bool = False, name: str = "") -> None:
        self.label = label(text)
        self.kids = tuple(kids)
        self.sorted = commutes
        self.name = name
        self.memo: dict[int, int] = {}
        self.raw = [self.label]
        for depth in range(max(RAW_DEPTHS)):
            below = [kid.raw[min(depth, len(kid.raw) - 1)] for kid in self.kids]
            if not below:
                break
            self.raw.append(mix(self.label, sorted(below) if commutes else below))
