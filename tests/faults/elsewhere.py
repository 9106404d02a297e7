"""Faults of the list that other test files try: number, what, and the tests that must pass."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple, Union

DOWNLOAD, CHECK, SCRIPTS = "cli/test_data_download.py::", "cli/test_data_check.py::", "scripts/test_scripts.py::"
RESUME, TRAINER, ROWS = "training/test_resume.py::", "training/test_trainer.py::", "data/test_row_cache.py::"
BACKBONE, LISTING = "method/test_backbone.py::", "data/test_listing.py::"
DATASETS = "datasets/test_benchmarks.py::"
NEW = "new"  # not of the first list
KILLS = "faults/test_kills.py::test_what_was_killed_ends_as_what_was_not"


class Elsewhere(NamedTuple):
    number: Union[int, str]
    what: str
    tests: Tuple[str, ...]  # below tests/


ELSEWHERE: List[Elsewhere] = [
    Elsewhere(27, "captions that are not ASCII", (
        "retrieval/test_sheets.py::test_captions_in_other_scripts_are_drawn",
    )),
    Elsewhere(73, "NaN in the last step of an epoch", (
        RESUME + "test_weights_that_are_no_numbers_are_not_saved",
        TRAINER + "test_a_loss_that_is_not_finite_names_its_terms",
    )),
    Elsewhere(79, "ViT-B/32 without network", (BACKBONE + "test_a_dead_link_names_the_weights_and_other_ways",)),
    Elsewhere(90, "kill -9 while training", (f"{KILLS}[training]",)),
    Elsewhere(91, "kill -9 while a checkpoint is written", (
        RESUME + "test_a_kill_while_writing_leaves_the_checkpoint_before",
    )),
    Elsewhere(94, "kill -9 between a run's last files", (f"{KILLS}[training]",)),
    Elsewhere(103, "checkpoint of another backbone", (
        RESUME + "test_another_backbone_class_list_or_method_is_refused_by_name",
    )),
    Elsewhere(112, "Ctrl-C while training and unpacking", (f"{KILLS}[training]", f"{KILLS}[unpacking]")),
    Elsewhere(113, "two runs into one folder", (TRAINER + "test_one_run_at_a_time_writes_a_folder",)),
    Elsewhere(114, "two runs into one folder, one after the other", (
        TRAINER + "test_one_run_at_a_time_writes_a_folder",
        TRAINER + "test_a_finished_run_is_known_again_and_another_refused",
    )),
    Elsewhere(115, "listing cache cannot be written", (
        LISTING + "test_a_place_that_cannot_be_written_to_costs_time_only",
    )),
    Elsewhere(116, "listing cache damaged", (LISTING + "test_a_damaged_memory_is_forgotten",)),
    Elsewhere(118, "two runs fill one cache", (ROWS + "test_processes_share_a_folder",)),
    Elsewhere(119, "cache cut or gone", (ROWS + "test_an_interrupted_build_goes_on_where_it_stopped",)),
    Elsewhere(120, "kill -9 while a cache is filled", (ROWS + "test_an_interrupted_build_goes_on_where_it_stopped",)),
    Elsewhere(125, "archive with a path that leads outside", (DOWNLOAD + "test_a_path_that_leads_outside",)),
    Elsewhere(126, "archive with links, devices, encrypted files", (
        DOWNLOAD + "test_links_devices_and_encrypted_files",
    )),
    Elsewhere(127, "archives that are bombs", (DOWNLOAD + "test_bombs",)),
    Elsewhere(128, "archives cut, flipped, empty, of other kinds", (
        DOWNLOAD + "test_damaged_foreign_and_missing_archives",
    )),
    Elsewhere(129, "archive of another data set", (DOWNLOAD + "test_damaged_foreign_and_missing_archives",)),
    Elsewhere(130, "archive with a path twice", (DOWNLOAD + "test_headers_that_lie",)),
    Elsewhere(131, "no archive", (DOWNLOAD + "test_damaged_foreign_and_missing_archives",)),
    Elsewhere(132, "download without network", (DOWNLOAD + "test_a_download_that_fails_says_what_to_do",)),
    Elsewhere(133, "disk too small to unpack", (
        DOWNLOAD + "test_a_full_disk_is_no_fault_of_the_network",
        DOWNLOAD + "test_bombs",
    )),
    Elsewhere(134, "kill -9 while unpacking", (f"{KILLS}[unpacking]",)),
    Elsewhere(135, "an unpacking that stops", (
        DOWNLOAD + "test_an_unpacking_that_stops_leaves_nothing_that_looks_finished",
    )),
    Elsewhere(137, "a class twice after its spelling", (CHECK + "test_names_and_splits",)),
    Elsewhere(138, "a class lacks or is misspelt", (CHECK + "test_missing_and_strange_folders_are_named",)),
    Elsewhere(139, "zero-byte image, --read", (CHECK + "test_unreadable_images_are_found_on_request",)),
    Elsewhere(140, "folders missing", (CHECK + "test_a_missing_archive_says_what_was_looked_for",)),
    Elsewhere(141, "wrong settings of a benchmark", (
        DATASETS + "test_wrong_settings_are_refused",
        DATASETS + "test_classes_without_images_are_named",
    )),
    Elsewhere(142, "fine-grained: a sketch's photo lacks", (
        DATASETS + "test_sketches_without_their_photo_are_reported_and_left_out",
    )),
    Elsewhere(161, "searching with a run of ViT-B/32 without network", (
        BACKBONE + "test_a_dead_link_names_the_weights_and_other_ways",
    )),
    Elsewhere(166, "what cannot be evaluated", (
        "cli/test_evaluate.py::test_what_cannot_be_tested_is_said_in_a_line",
    )),
    Elsewhere(169, "tables of missing or broken results", (
        "cli/test_table.py::test_an_empty_folder_and_a_foreign_file_are_named",
    )),
    Elsewhere(172, "scripts with other OPTS", (SCRIPTS + "test_seeds_baselines_kept_and_resumed_runs",)),
    Elsewhere(173, "scripts with other or missing DATA", (SCRIPTS + "test_without_the_data_nothing_is_trained",)),
    Elsewhere(174, "SEEDS `one`", (SCRIPTS + "test_what_is_no_seed_is_refused_and_help_is_given",)),
    Elsewhere(175, "SEEDS `-1`", (SCRIPTS + "test_what_is_no_seed_is_refused_and_help_is_given",)),
    Elsewhere(176, "a script's --help", (SCRIPTS + "test_what_is_no_seed_is_refused_and_help_is_given",)),
    Elsewhere(177, "a script stopped and started again", (
        SCRIPTS + "test_the_demo_trains_compares_and_keeps_what_is_finished",
    )),
    Elsewhere(178, "the shell of a script killed", (f"{KILLS}[training]",)),
    Elsewhere(179, "scripts from another folder", (
        SCRIPTS + "test_the_demo_trains_compares_and_keeps_what_is_finished",
    )),
    Elsewhere(190, "a Dassl whose packages lack", (
        "engine/test_engine.py::test_a_broken_dassl_is_reported_and_replaced",
    )),
    Elsewhere(191, "one of several processes fails", (
        "method/test_distributed.py::test_a_failure_in_one_process_ends_all_and_is_told_once",
    )),
    Elsewhere(NEW, "the cheap look and the real one differ on a damaged file", (
        "data/test_decode.py::test_the_cheap_look_and_the_real_one_agree_on_damaged_files",
    )),
    Elsewhere(NEW, "threads that spin beside other programs", (
        "cli/test_threads.py::test_threads_of_every_program_sleep_while_they_wait",
        "cli/test_threads.py::test_what_the_user_set_stays",
    )),
    Elsewhere(NEW, "FAST=1 inherits bf16", (
        SCRIPTS + "test_fast_takes_the_precision_that_is_faster_here_unless_told",
    )),
    Elsewhere(NEW, "a first step of minutes", (
        "training/test_progress.py::test_a_slow_step_says_why_while_it_lasts_and_what_it_took",
    )),
    Elsewhere(NEW, "models tested on classes of their training", (
        "cli/test_seen_classes.py::test_every_way_refuses_by_name_and_goes_on_where_it_is_meant",
        "cli/test_seen_classes.py::test_the_model_that_ships_is_no_exception",
        "cli/test_seen_classes.py::test_a_hosts_checkpoint_says_what_it_was_trained_on",
    )),
    Elsewhere(NEW, "the Space's requirements are older than promised", (
        "scripts/test_space.py::test_the_space_has_the_packages_requirements",
    )),
]  # fmt: skip
