"""Everything that is foreseen to go wrong, as one tree.

An error keeps its facts as attributes and builds one sentence for people.
``transient`` says whether the same attempt may succeed later without anybody doing anything;
the retry policy and the run report both read it.
"""

from __future__ import annotations

from bandersnatch.errors.configuration import (
    ConfigError,
    FilterFailed,
    InvalidRules,
    OptionError,
    Problem,
    UsageError,
)
from bandersnatch.errors.here import (
    CorruptState,
    Impossible,
    Interrupted,
    LeadsAway,
    MirrorLocked,
    NotHere,
    NotRestorable,
    NotStored,
    Obstructed,
    StillThere,
    StorageError,
    TooLittleRoom,
    UnstorableName,
)
from bandersnatch.errors.index import (
    AnswerError,
    ChangelogRefused,
    DigestMismatch,
    FilesMissing,
    IntegrityError,
    InvalidPage,
    NotFound,
    ProjectNotFound,
    RateLimited,
    Refused,
    SizeMismatch,
    StalePage,
    TooLarge,
    Unavailable,
    UnsafeUrl,
    UnusableIndex,
    UpstreamError,
)
from bandersnatch.errors.safety import (
    ChangedFile,
    EmptiedProject,
    IndexWentBack,
    SafetyStop,
    TooManyRemovals,
    TooMuchUnowned,
)
from bandersnatch.errors.tree import (
    BandersnatchError,
)
from bandersnatch.errors.values import (
    SHOWN_CHARACTERS,
    InvalidValue,
)

__all__ = [
    "SHOWN_CHARACTERS",
    "AnswerError",
    "BandersnatchError",
    "ChangedFile",
    "ChangelogRefused",
    "ConfigError",
    "CorruptState",
    "DigestMismatch",
    "EmptiedProject",
    "FilesMissing",
    "FilterFailed",
    "Impossible",
    "IndexWentBack",
    "IntegrityError",
    "Interrupted",
    "InvalidPage",
    "InvalidRules",
    "InvalidValue",
    "LeadsAway",
    "MirrorLocked",
    "NotFound",
    "NotHere",
    "NotRestorable",
    "NotStored",
    "Obstructed",
    "OptionError",
    "Problem",
    "ProjectNotFound",
    "RateLimited",
    "Refused",
    "SafetyStop",
    "SizeMismatch",
    "StalePage",
    "StillThere",
    "StorageError",
    "TooLarge",
    "TooLittleRoom",
    "TooManyRemovals",
    "TooMuchUnowned",
    "Unavailable",
    "UnsafeUrl",
    "UnstorableName",
    "UnusableIndex",
    "UpstreamError",
    "UsageError",
]
