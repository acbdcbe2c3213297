"""
Tests of the SDK that can't hold for a session that is stored otherwise, by name and under the reason.

A name is a function's, or one instance's with its parameters. `run.py` deselects exactly these; one that names no test is an
error, so that none stays here longer than it is true.
"""

from collections.abc import Mapping

Reasons = Mapping[str, tuple[str, ...]]

DAPR: Reasons = {
    "its other writer appends to DaprSession's array under `<id>:messages`": (
        "test_add_items_retries_on_concurrency",
        "test_pop_item_retries_on_concurrency",
    ),
    "puts an undecodable entry into DaprSession's array": (
        "test_get_items_limit_skips_corrupt_newest_entries",
        "test_pop_item_skips_corrupt_most_recent",
        "test_pop_item_returns_none_after_dropping_only_corrupt_entries",
    ),
    "overwrites DaprSession's array": (
        "test_add_items_rejects_corrupted_aggregate_state",
        "test_messages_not_list_handling",
        "test_already_deserialized_messages",
    ),
    "reads, or breaks, DaprSession's record under `<id>:metadata`": (
        "test_add_items_preserves_created_at_metadata",
        "test_metadata_creation_does_not_request_first_write",
        "test_stale_metadata_etag_retries_and_keeps_created_at",
        "test_add_items_survives_metadata_write_giving_up",
        "test_metadata_write_warning_respects_data_policies",
    ),
}

_SUFFIXES: Reasons = {
    "expects of a list that only a whole history is replaced; with the SDK's own SQLiteSession for the list it fails alike": (
        "test_automatic_compaction_retains_hidden_tool_output_until_full_replay",
        "test_manual_compaction_can_explicitly_replace_filtered_history[False-input]",
        "test_manual_compaction_can_explicitly_replace_filtered_history[True-input]",
        "test_encrypted_session_checks_decrypted_history",
        "test_resumed_tool_output_stays_local_when_filtered",
        "test_automatic_compaction_preserves_filtered_duplicate_occurrences[input-False]",
        "test_automatic_compaction_preserves_filtered_duplicate_occurrences[input-True]",
        "test_automatic_compaction_preserves_reordered_history[model-input-False]",
        "test_automatic_compaction_preserves_reordered_history[model-input-True]",
        "test_automatic_compaction_preserves_reordered_history[session-input-False]",
        "test_automatic_compaction_preserves_reordered_history[session-input-True]",
        "test_reasoning_policy_does_not_authorize_other_input_changes",
        "test_automatic_compaction_rollback_budget[False]",
    ),
    "counts calls of `get_items`; a compaction of ours reads through the hook that EncryptedSession has, too": (
        "test_exact_rollback_budget_refreshes_complete_snapshot",
    ),
}

RUNNER: Reasons = _SUFFIXES

SQLITE: Reasons = {
    **_SUFFIXES,
    "reads SQLiteSession's private `_connections`, `_lock` or `_file_locks`": (
        "test_sqlite_session_close_closes_worker_thread_connections",
        "test_sqlite_session_reaps_connections_from_exited_worker_threads",
        "test_sqlite_session_closes_retired_connections_before_the_next_allocation",
        "test_sqlite_session_keeps_connections_of_live_worker_threads",
        "test_sqlite_session_file_lock_is_shared_across_instances",
    ),
    "puts a connection of its own into SQLiteSession's private `_connections`": (
        "test_sqlite_session_rollback_failure_evicts_connection",
        "test_sqlite_session_close_retries_quarantined_connection",
        "test_sqlite_session_post_commit_cancellation_propagates_after_known_outcome",
        "test_settled_pop_failure_invalidates_response_chain",
        "test_settled_clear_failure_invalidates_response_chain",
    ),
    "puts an undecodable row into SQLiteSession's table agent_messages": (
        "test_sqlite_session_pop_item_skips_corrupt_most_recent",
        "test_sqlite_session_pop_item_returns_none_after_dropping_only_corrupt_rows",
        "test_sqlite_session_get_items_limit_skips_corrupt_newest_rows",
        "test_sqlite_session_get_items_session_settings_limit_skips_corrupt_rows",
    ),
    "reads, or drops, SQLiteSession's tables": (
        "test_sqlite_session_failed_add_items_releases_write_lock",
        "test_sqlite_session_failed_clear_session_rolls_back",
        "test_sqlite_session_failed_pop_item_releases_write_lock",
        "test_encrypted_pop_authentication_is_atomic_with_concurrent_mutations",
        "test_encrypted_pop_wrong_key_preserves_row_identity",
    ),
    "needs `_pop_item_with_validation`, which EncryptedSession calls on the SDK's own SQLiteSession only": (
        "test_encrypted_pop_wrong_key_preserves_recoverable_history",
        "test_encrypted_pop_rechecks_authentication_after_expired_tail",
        "test_encrypted_pop_cancellation_waits_for_authentication_rollback",
    ),
    "has SQLiteSession's private `_insert_items` or a trigger in its file fail, or wait": (
        "test_suffix_transaction_rolls_back_failed_insert[sqlite]",
        "test_cancelled_suffix_transaction_settles_before_newer_append[sqlite]",
        "test_failed_encrypted_suffix_transaction_preserves_original_tokens[sqlite-False]",
        "test_failed_encrypted_suffix_transaction_preserves_original_tokens[sqlite-True]",
    ),
    "a negative limit means no limit to SQLiteSession, and nothing to DaprSession and us": (
        "test_encrypted_session_scan_budget_rejects_negative_limit_before_read",
    ),
}
