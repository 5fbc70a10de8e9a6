"""The faults that are put into the program on purpose: each was once a defect of another mirror.

A mutant names the function and the symbols in it that the fault is about. If one of them is
renamed, rename it here; if the code is gone, express the same fault in the code that replaced it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.edits import (
    FALSE,
    TRUE,
    Edit,
    Find,
    Function,
    Stale,
    argument,
    attribute,
    both,
    call,
    code,
    compared,
    comparison,
    condition,
    delete,
    expression,
    first_argument,
    insert,
    last_negated,
    left,
    move,
    put,
    renamed,
    repeat,
    restate,
    result,
    returned,
    statement,
    swap,
    with_argument,
)


@dataclass(frozen=True)
class Mutant:
    """A fault: ``edit``, made in the function ``target``, which is ``module:qualified.name``.

    ``tests`` are those that should notice, below ``tests/``.
    """

    name: str
    target: str
    edit: Edit
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The module's file, relative to the root of the repository."""
        module = self.target.partition(":")[0]
        return Path("src/bandersnatch", *module.split(".")).with_suffix(".py")

    def applied(self, text: str) -> str:
        """Return the module's text with the fault in it.

        :raises Stale: if the function, or a symbol in it, does not exist any more.
        """
        try:
            function = Function(text, self.target.partition(":")[2])
            self.edit(function)
            return function.edited()
        except Stale as error:
            raise Stale(f"{self.name} ({self.target}): {error}") from None


MUTANTS = (
    Mutant(
        "a file is deleted before its replacement exists",
        "mirror.files:FileSync.download",
        insert("await self._storage.discard([key])", before=statement("_receive")),
        ("integration/test_files.py",),
    ),
    Mutant(
        "the lock is released before the work",
        "storage.filesystem:FilesystemStorage.__aenter__",
        put(call("callback", "release"), code("self._lock.release()")),
        ("unit/test_filesystem.py", "contract/test_storage.py", "integration/test_cli.py"),
    ),
    Mutant(
        "todo is completed before the index is asked",
        "mirror.preparation:Preparer._discover",
        insert(
            "if state.todo is not None and state.todo.pending:\n    return Discovery(state.cursor)",
            before=Find((ast.If,), frozenset({"only"})),
        ),
        ("integration/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "the highest serial counts",
        "mirror.state:next_status",
        put(call("min", "default"), renamed("max")),
        ("unit/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "status passes a project that failed",
        "mirror.run:_Steps._save_status",
        put(expression(ast.ListComp, "first_serial"), code("[]")),
        ("integration/test_state.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page that is missing is a success",
        "mirror.project:ProjectSync._missing",
        restate(statement("MissingProject"), returned("ABSENT")),
        ("integration/test_faults.py",),
    ),
    Mutant(
        "failures exit with 0",
        "cli.exit_codes:_code_for_failure",
        put(attribute("PARTIAL"), renamed("OK")),
        ("unit/test_exit_codes.py", "integration/test_faults.py"),
    ),
    Mutant(
        "state is not flushed",
        "storage.tree:Tree.write",
        delete("fsync"),
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the name of a state file is not flushed",
        "storage.tree:Tree.write",
        delete("_sync_directory"),
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the tree is not flushed before the rows are committed",
        "mirror.checkpoint:Checkpoint.commit",
        delete("flush"),
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the tree is flushed after the rows are committed",
        "mirror.checkpoint:Checkpoint.commit",
        swap(statement("flush"), statement("commit")),
        ("chaos/test_durability.py", "chaos/test_power_cut.py"),
    ),
    Mutant(
        "the tree is not flushed after the root page",
        "mirror.publish:publish_root",
        delete("flush"),
        ("chaos/test_durability.py", "chaos/test_scenarios.py"),
    ),
    Mutant(
        "a failed flush is tried again",
        "storage.filesystem:FilesystemStorage._sync",
        delete("_flush_error"),
        ("unit/test_filesystem.py", "contract/test_storage.py"),
    ),
    Mutant(
        "a failed rename is replaced by a copy",
        "storage.tree:Tree.publish",
        put(comparison(ast.NotEq, "EXDEV"), FALSE),
        ("unit/test_areas.py",),
    ),
    Mutant(
        "a file is deleted before its copy on another disk is durable",
        "storage.filesystem:FilesystemStorage._move",
        swap(statement("flush"), statement("_delete_copied")),
        ("unit/test_areas.py",),
    ),
    Mutant(
        "a copy on another disk is not checked",
        "storage.temporary:_copy_content",
        put(comparison(ast.NotEq, "digest"), FALSE),
        ("unit/test_areas.py",),
    ),
    Mutant(
        "a key is joined to the root without validation",
        "storage.tree:Tree.require_key",
        put(call("fullmatch"), first_argument),
        ("unit/test_tree.py", "contract/test_storage.py"),
    ),
    Mutant(
        "dot segments are permitted in a path",
        "model.urls:decode_path",
        put(expression(ast.Set, ".."), code("{''}")),
        ("unit/test_urls.py",),
    ),
    Mutant(
        "a path is decoded twice",
        "model.urls:decode_path",
        restate(
            Find((ast.Raise,), inside=Find((ast.If,), frozenset({"unquote"}))),
            "path = unquote(path)",
        ),
        ("unit/test_urls.py",),
    ),
    Mutant(
        "a link is followed when a file is placed",
        "storage.descriptors:DescriptorDirectory.open",
        put(attribute("O_NOFOLLOW"), code("0")),
        ("unit/test_tree.py", "contract/test_directory.py"),
    ),
    Mutant(
        "a directory is opened by its path and not by a descriptor",
        "storage.descriptors:DescriptorDirectory._open",
        put(call("open"), code("os.open(f'{self.path}/{name}', flags)")),
        ("contract/test_directory.py",),
    ),
    Mutant(
        "a temporary file is opened by its path and not by a descriptor",
        "storage.descriptors:DescriptorDirectory.open_file",
        put(call("open"), code("os.open(f'{self.path}/{name}', flags, mode)")),
        ("contract/test_directory.py",),
    ),
    Mutant(
        "the time of a file is set without a check for a second name",
        "storage.descriptors:DescriptorDirectory.set_time",
        delete("require_one_name"),
        ("contract/test_directory.py",),
    ),
    Mutant(
        "a download does not ask for the owner of its path",
        "mirror.project:Publication._store_files",
        put(call("claim"), code("self._owners.claim(detail.name, (), record)")),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "the owners of a path in the catalogue are not asked",
        "mirror.owners:PathOwners._others",
        insert("found = []", before=statement("others", "found")),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "a file leaves although another project has it",
        "mirror.removal:Removals._unshared",
        put(comparison(ast.NotIn, "shared"), TRUE),
        ("integration/test_path_owners.py", "integration/test_removal.py"),
    ),
    Mutant(
        "an owner of the same run is not asked before a file leaves",
        "mirror.authority:LocalAuthority.trash",
        put(call("trash_files"), code("self._removals.trash_files(name, leaving)")),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "adoption does not ask for the owner of a path",
        "mirror.adopt:Adoption._owned_record",
        insert("return record", before=Find((ast.AsyncFor, ast.For), frozenset({"claim"}))),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "verify does not ask for the owner of a path",
        "mirror.verify.repair:Repairer._download",
        put(Find((ast.NamedExpr,), frozenset({"keeper"})), code("(keeper := None)")),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "a restored project does not ask for the owner of a path",
        "mirror.restore:_Restoration._require_paths",
        put(call("claim"), code("owners.claim(self._name, (), None)")),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "the first of two claims wins, whatever the names",
        "mirror.owners:PathOwners.settle",
        insert(
            "self._contests.clear()", before=Find((ast.For,), frozenset({"_contests"}), which=0)
        ),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "claims are compared without their core metadata",
        "catalogue.records:PathOwner.differs",
        restate(returned("sidecar"), "return False"),
        ("integration/test_path_owners.py",),
    ),
    Mutant(
        "a name is not escaped",
        "simple.html_page:render_detail_html",
        put(call("escape", inside=argument("title")), first_argument),
        ("unit/test_render_html.py",),
    ),
    Mutant(
        "a reason is not escaped",
        "simple.html_page:_link",
        put(call("escape", "yanked"), first_argument),
        ("unit/test_render_html.py",),
    ),
    Mutant(
        "earlier pages are sorted as text",
        "mirror.publish:Publisher._publish_versions",
        put(call("sort"), with_argument("key", None)),
        ("integration/test_pages.py",),
    ),
    Mutant(
        "releases are sorted as text",
        "filters.builtin.latest:_newest_first",
        put(call("sorted", "versions"), with_argument("key", "str")),
        ("unit/test_filter_latest.py",),
    ),
    Mutant(
        "one missing page is enough for a removal",
        "mirror.project:ProjectSync._missing",
        put(
            attribute("MISSING_ONCE", inside=returned("MISSING_ONCE", lacks=("GONE",))),
            renamed("GONE"),
        ),
        ("integration/test_removal.py",),
    ),
    Mutant(
        "the second look needs no pause",
        "mirror.project:ProjectSync._missing",
        put(comparison(ast.GtE, "SECOND_LOOK"), TRUE),
        ("integration/test_removal.py", "integration/test_discovery.py"),
    ),
    Mutant(
        "any number of projects may be removed",
        "mirror.removal:check_removals",
        put(comparison(ast.Gt, "limit"), FALSE),
        ("integration/test_removal.py",),
    ),
    Mutant(
        "all projects may be removed",
        "mirror.removal:removal_limit",
        put(call("min"), first_argument),
        ("integration/test_removal.py",),
    ),
    Mutant(
        "the grace time is ignored",
        "mirror.removal:Removals.purge_expired",
        put(expression(ast.BinOp, "grace"), left),
        ("integration/test_removal.py",),
    ),
    Mutant(
        "the root page names projects that are being removed",
        "mirror.removal:remove_all",
        put(call("publish_root"), with_argument("omit", "()")),
        ("integration/test_removal.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "files are removed before the pages that name them",
        "mirror.removal:Removals.remove_projects",
        repeat(statement("_trash", "files"), before=statement("_trash", "pages")),
        ("chaos/test_scenarios.py", "chaos/test_kill_loop.py"),
    ),
    Mutant(
        "a page is published before its files",
        "mirror.project:Publication.publish",
        both(
            repeat(statement("publish"), before=statement("_store_files")),
            put(
                Find((ast.Call,), callee="publish", which=0),
                with_argument("remove_unused", "False"),
            ),
        ),
        ("chaos/test_http_answers.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page advertises core metadata before it is stored",
        "mirror.files:FileSync._sync_sidecars",
        put(call("get", "stored"), code("found.file.core_metadata")),
        ("integration/test_files.py",),
    ),
    Mutant(
        "a digest is not compared",
        "model.content:ContentCheck.finish",
        put(comparison(ast.NotIn, "hashes"), FALSE),
        ("unit/test_content.py", "integration/test_files.py"),
    ),
    Mutant(
        "a size is not compared",
        "model.content:ContentCheck.finish",
        put(comparison(ast.NotEq, "size"), compared(ast.Gt)),
        ("unit/test_content.py", "integration/test_files.py"),
    ),
    Mutant(
        "a body may be longer than announced",
        "model.content:ExpectedContent.limit",
        put(expression(ast.IfExp), left),
        ("unit/test_content.py", "unit/test_partial.py", "integration/test_network.py"),
    ),
    Mutant(
        "a stored file counts as valid without a check",
        "mirror.files:FileChecker.check",
        put(comparison(ast.NotIn, "hashes"), FALSE),
        ("integration/test_files.py",),
    ),
    Mutant(
        "a redirect may lead to http",
        "index.transport:_redirect_target",
        put(expression(ast.Set, "https"), code("{'https', 'http'}")),
        ("integration/test_network.py", "integration/test_faults.py"),
    ),
    Mutant(
        "a redirect may lead to a private address",
        "index.hosts:HostGuard.check_url",
        put(call("is_private_host"), FALSE),
        ("integration/test_network.py",),
    ),
    Mutant(
        "a name may resolve to a private address",
        "index.hosts:HostGuard.check_addresses",
        put(expression(ast.BoolOp, "is_private", "_admits_private"), FALSE),
        ("integration/test_network.py",),
    ),
    Mutant(
        "Retry-After is ignored",
        "index.retry:pause_before",
        delete("LONGEST_RETRY_AFTER"),
        ("unit/test_retry.py", "integration/test_network.py"),
    ),
    Mutant(
        "Retry-After delays only the request that received it",
        "index.transport:Transport.request",
        delete("_pause"),
        ("chaos/test_http_answers.py", "integration/test_faults.py"),
    ),
    Mutant(
        "the next bytes of a body are waited for without a limit",
        "index.watchdog:Watchdog.read",
        put(attribute("has_arrived"), TRUE),
        ("unit/test_watchdog.py",),
    ),
    Mutant(
        "a body counts as arrived before its end",
        "index.aiohttp_client:AiohttpResponse.has_arrived",
        put(call("is_eof"), TRUE),
        ("unit/test_watchdog.py",),
    ),
    Mutant(
        "a host that is not the only one may answer as late as the only one",
        "index.transport:Transport.request",
        put(expression(ast.IfExp, "nullcontext"), code("nullcontext()")),
        ("unit/test_watchdog.py",),
    ),
    Mutant(
        "a page that is too old is accepted",
        "mirror.ledger:judge",
        put(comparison(ast.GtE, "serial"), TRUE),
        ("integration/test_faults.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "the head alone raises T",
        "mirror.ledger:settle",
        put(call("max", "before", "last"), code("max(said.before, said.last, said.head or 0)")),
        ("unit/test_ledger.py", "integration/test_wrong_words.py"),
    ),
    Mutant(
        "one clock is enough for the age of a change",
        "mirror.ledger:Age.is_expired",
        put(call("min"), renamed("max")),
        ("unit/test_ledger.py",),
    ),
    Mutant(
        "a serial far above the index is believed",
        "mirror.ledger:believed",
        put(comparison(ast.Gt, "ceiling"), FALSE),
        ("unit/test_ledger.py", "integration/test_wrong_words.py"),
    ),
    Mutant(
        "an index far behind the mirror raises no alarm",
        "mirror.ledger:_check_age",
        put(comparison(ast.Gt, "MAX_LAG"), FALSE),
        ("unit/test_ledger.py",),
    ),
    Mutant(
        "one wrong entry of a list raises T",
        "mirror.ledger:reach",
        put(comparison(ast.LtE, "MAX_LAG"), TRUE),
        ("unit/test_ledger.py",),
    ),
    Mutant(
        "a wrong serial freezes a project where nothing contradicts it",
        "mirror.ledger:is_far_above",
        put(comparison(ast.Gt, "MAX_LAG"), FALSE),
        ("integration/test_serials.py",),
    ),
    Mutant(
        "a 304 that nobody asked for is accepted",
        "index.answers:check_answer",
        put(expression(ast.BoolOp, "CONDITIONS"), FALSE),
        ("unit/test_answers.py", "integration/test_wrong_answers.py"),
    ),
    Mutant(
        "a part of a file that begins elsewhere is accepted",
        "index.answers:_check_range",
        put(comparison(ast.NotEq, "first"), FALSE),
        ("unit/test_answers.py",),
    ),
    Mutant(
        "a page goes back behind what is published",
        "mirror.project:ProjectSync._is_older",
        put(comparison(ast.GtE, "serial"), TRUE),
        ("integration/test_faults.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a page that lacks files is asked for with its validators",
        "mirror.project:ProjectSync._validators",
        put(expression(ast.BoolOp, "_is_incomplete"), left),
        ("chaos/test_scenarios.py", "integration/test_files.py"),
    ),
    Mutant(
        "an interrupted project is requested with its validators",
        "mirror.project:ProjectSync._validators",
        delete("is_unrecorded", "_publication"),
        ("chaos/test_scenarios.py", "integration/test_invariants.py"),
    ),
    Mutant(
        "a file may change under its name",
        "mirror.comparison:FileComparison._compare",
        put(call("agrees_with"), TRUE),
        ("integration/test_files.py", "integration/test_refused.py"),
    ),
    Mutant(
        "the loss of all files is accepted at the first look",
        "mirror.project:ProjectSync._emptied",
        put(expression(ast.BoolOp, "is_quarantined", "has_event"), last_negated),
        ("integration/test_losses.py",),
    ),
    Mutant(
        "the second look at a page without files needs no pause",
        "mirror.project:ProjectSync._emptied",
        put(comparison(ast.GtE, "SECOND_LOOK"), TRUE),
        ("integration/test_losses.py",),
    ),
    Mutant(
        "any number of files may leave pages",
        "mirror.losses:within_limit",
        put(comparison(ast.Lt, "rest"), FALSE),
        ("integration/test_losses.py",),
    ),
    Mutant(
        "the files that left pages before are forgotten",
        "mirror.losses:LossWindow.parse",
        put(comparison(ast.Lt, "WINDOW"), FALSE),
        ("integration/test_losses.py", "unit/test_losses.py"),
    ),
    Mutant(
        "a quarantine is ignored",
        "mirror.project:ProjectSync._without_unwanted_parts",
        put(attribute("QUARANTINED"), renamed("ARCHIVED")),
        ("integration/test_removal.py", "integration/test_pages.py"),
    ),
    Mutant(
        "a failing project stops the others",
        "mirror.executor:Executor._watch",
        put(expression(ast.BoolOp, "_stop_on_error"), left),
        ("integration/test_boundary.py", "integration/test_faults.py"),
    ),
    Mutant(
        "the cursor moves past projects that were not synced",
        "mirror.run:_open_checkpoint",
        put(expression(ast.DictComp, "target_serial"), code("{}")),
        ("integration/test_stop_on_error.py", "integration/test_faults.py"),
    ),
    Mutant(
        "projects in progress are not recorded",
        "mirror.executor:Executor._execute",
        delete("begin_task"),
        ("integration/test_reconcile_faults.py", "integration/test_reconcile_machine.py"),
    ),
    Mutant(
        "todo is deleted before status is written",
        "mirror.state:StateFiles.save_status",
        swap(statement("STATUS"), Find((ast.If,), frozenset({"TODO"}))),
        ("chaos/test_durability.py",),
    ),
    Mutant(
        "temporary files of a killed run are not deleted",
        "storage.filesystem:FilesystemStorage._prepare",
        put(call("startswith"), FALSE),
        ("unit/test_filesystem.py", "chaos/test_kill_loop.py"),
    ),
    Mutant(
        "the umask of the caller is kept",
        "cli.main:main",
        put(call("umask"), code("os.umask(_)")),
        ("integration/test_cli.py",),
    ),
    Mutant(
        "a dry run changes the mirror",
        "app.storages:open_storage",
        restate(returned("DryRunStorage"), returned(lacks=("DryRunStorage",))),
        ("integration/test_questions.py", "integration/test_cli.py"),
    ),
    Mutant(
        "a tree is adopted without a check of its files",
        "mirror.adopt:Adoption._files",
        put(comparison(ast.NotIn, "size"), FALSE),
        ("compat/test_adoption.py",),
    ),
    Mutant(
        "pages are written although they are unchanged",
        "storage.filesystem:FilesystemStorage.write.write",
        put(call("has_content"), FALSE),
        ("contract/test_storage.py", "integration/test_pages.py"),
    ),
    Mutant(
        "downloads in progress do not reserve space",
        "storage.space:DiskSpace.allocate",
        put(expression(ast.BinOp, "reserved"), left),
        ("unit/test_room.py",),
    ),
    Mutant(
        "a file without space counts as a failure of its project",
        "mirror.executor:Executor._report_failure",
        put(call("isinstance", "InsufficientSpace"), FALSE),
        ("chaos/test_storage_faults.py",),
    ),
    Mutant(
        "rules about one project are ignored when a list is compared",
        "mirror.preparation:Preparer._differing",
        delete("special"),
        ("integration/test_reconcile.py",),
    ),
    Mutant(
        "the page of an unlisted project is accepted",
        "mirror.tasks:SyncTask.is_doubted",
        put(result("QUARANTINED"), FALSE),
        ("integration/test_removal.py",),
    ),
    Mutant(
        "a list is compared without its serials",
        "catalogue.queries:_outdated",
        put(call("compress", "lt"), code("(name for name in listed if name not in reflects)")),
        ("integration/test_discovery.py", "integration/test_indexes.py"),
    ),
    Mutant(
        "the changes of a killed run are not listed",
        "cli.changelist:open_diff_file",
        delete("unreported"),
        ("chaos/test_change_lists.py",),
    ),
    Mutant(
        "changes are recorded after they are made",
        "storage.journal:ChangeJournal.recording",
        move(statement("_append"), after=statement("yield")),
        ("chaos/test_change_lists.py",),
    ),
    Mutant(
        "an invalid row is accepted",
        "catalogue.rows:_valid_key",
        put(call("is_key"), first_argument),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "a bound of steps is not applied",
        "simple.limits:StepBudget.spend",
        put(comparison(ast.Lt, "_left"), FALSE),
        ("unit/test_heavy_documents.py",),
    ),
    Mutant(
        "the sweep has no share",
        "mirror.sweep:share",
        put(result("min"), code("0")),
        ("integration/test_sweep.py",),
    ),
    Mutant(
        "the checksum of a row is not compared",
        "catalogue.rows:is_intact",
        put(comparison(ast.Eq, "checksum"), TRUE),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "the checksum of the files of a project is not compared",
        "catalogue.rows:is_project_intact",
        put(comparison(ast.Eq, "detail_checksum"), TRUE),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "a new checksum vouches for damage",
        "catalogue.changes:_put_verified",
        put(condition("is_project_intact"), FALSE),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "the schema is not compared",
        "catalogue.sqlite_file:SqliteFile._inspect",
        put(comparison(ast.Eq, "OBJECTS"), TRUE),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "a lost deferral leaves the state trusted",
        "catalogue.damage:_drop",
        put(comparison(ast.In, "deferred"), FALSE),
        ("unit/test_catalogue_damage.py",),
    ),
    Mutant(
        "the counter of the mark is not compared",
        "mirror.mark:compare_marks",
        put(result("is_same"), code("MarkState.SAME")),
        ("chaos/test_damage.py",),
    ),
    Mutant(
        "the name of the mark is not compared",
        "mirror.mark:compare_marks",
        put(comparison(ast.NotEq, "name"), FALSE),
        ("unit/test_mark.py",),
    ),
    Mutant(
        "the page in the tree is not read before it is replaced",
        "mirror.rejections:ServedFiles._may_differ",
        put(result("has_own_page_of"), FALSE),
        ("chaos/test_damage.py",),
    ),
    Mutant(
        "a JSON page that could not be read is not asked for again",
        "mirror.project:_with_unread",
        put(call("replace"), first_argument),
        ("chaos/test_search.py",),
    ),
    Mutant(
        "a page is rendered although its files are damaged",
        "mirror.verify.repair:Repairer.repair",
        put(expression(ast.UnaryOp, "is_unfinished"), TRUE),
        ("integration/test_verify.py", "integration/test_restored.py"),
    ),
    Mutant(
        "the files of an unreadable project count as orphaned",
        "mirror.verify.run:Verification._unreadable",
        put(comparison(ast.NotIn), FALSE),
        ("integration/test_verify.py",),
    ),
    Mutant(
        "verify accepts any content",
        "mirror.verify.examine:_wrong_content",
        put(comparison(ast.In, "read"), TRUE),
        ("integration/test_verify.py",),
    ),
    Mutant(
        "any number of orphaned files may be removed",
        "mirror.verify.run:Verification._may_trash",
        put(comparison(ast.Gt, "limit"), FALSE),
        ("integration/test_verify.py",),
    ),
)
