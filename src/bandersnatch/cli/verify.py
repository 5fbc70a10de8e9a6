"""The flags of ``verify``, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.parser import project_names
from bandersnatch.config.readers import Allowance, allowance, days, percent, rate
from bandersnatch.errors import UsageError
from bandersnatch.mirror.verify.budget import VerifyOptions

if TYPE_CHECKING:
    from argparse import Namespace

    from bandersnatch.config.settings import Settings

_MOST_WORKERS = 100


def verify_orders(arguments: Namespace, settings: Settings) -> VerifyOptions:
    """Return what the flags ask for.

    :raises UsageError: if one of them cannot be meant.
    """
    workers = arguments.workers or settings.run.verifiers
    if not 0 < workers <= _MOST_WORKERS:
        raise UsageError(f"--workers {workers} is not between 1 and {_MOST_WORKERS}")
    budget = allowance(arguments.budget, "--budget") if arguments.budget else Allowance()
    orders = VerifyOptions(
        repair=not arguments.dry_run,
        delete=arguments.delete,
        update=arguments.json_update,
        quick=arguments.quick,
        sample=percent(arguments.sample, "--sample") if arguments.sample else None,
        max_age=days(arguments.max_age, "--max-age") if arguments.max_age else None,
        seconds=budget.seconds,
        size=budget.size,
        rate=rate(arguments.rate, "--rate") if arguments.rate else None,
        workers=workers,
        ignore_unreadable=frozenset(project_names(arguments.ignore_unreadable)),
    )
    if orders.quick and orders.is_partial:
        raise UsageError("--quick looks at everything; leave --sample, --max-age and --budget out")
    return orders
