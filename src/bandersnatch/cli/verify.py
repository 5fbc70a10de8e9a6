"""The flags of ``verify``, read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bandersnatch.cli.parser import flag_value, project_names
from bandersnatch.config import readers
from bandersnatch.errors import UsageError
from bandersnatch.mirror.verify.budget import VerifyOptions

if TYPE_CHECKING:
    from argparse import Namespace

    from bandersnatch.config.schema import Settings

_MOST_WORKERS = 100


def verify_orders(arguments: Namespace, settings: Settings) -> VerifyOptions:
    """Return what the flags ask for.

    :raises UsageError: if one of them cannot be meant.
    """
    workers = arguments.workers or settings.run.verifiers
    if not 0 < workers <= _MOST_WORKERS:
        raise UsageError(f"--workers {workers} is not between 1 and {_MOST_WORKERS}")
    budget = flag_value("--budget", arguments.budget, readers.time_or_size)
    max_age = flag_value("--max-age", arguments.max_age, readers.days)
    orders = VerifyOptions(
        repair=not arguments.dry_run,
        delete=arguments.delete,
        update=arguments.json_update,
        quick=arguments.quick,
        sample=flag_value("--sample", arguments.sample, readers.percent),
        max_age=None if max_age is None else int(max_age.total_seconds()),
        seconds=budget.total_seconds() if isinstance(budget, timedelta) else None,
        size=budget if isinstance(budget, int) else None,
        rate=flag_value("--rate", arguments.rate, readers.rate),
        workers=workers,
        ignore_unreadable=frozenset(project_names(arguments.ignore_unreadable)),
    )
    if orders.quick and orders.is_partial:
        raise UsageError("--quick looks at everything; leave --sample, --max-age and --budget out")
    return orders
