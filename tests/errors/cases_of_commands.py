"""Commands used wrongly, bad simulations and reconstructions, and places that cannot be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .workshop import SMALL, TRAIN, Case, cut, scan_with, text

RUN = (*TRAIN, *SMALL)
SIMULATE = ("simulate", "-o", "new.npz", "--size", "32", "--patterns", "8")
INFER = ("infer", "model", "-o", "out")
CONVERT = ("convert", "scan.npz")
PRETRAIN = ("pretrain", "-o", "out", "--quiet", "--backend", "pytorch", "--accelerator", "cpu")
SEVERAL = ("--devices", "2", "--num-nodes", "2")
CALIBRATE = ("calibrate", "scan.npz", "-o", "calibrated.npz", "--quiet")
EVALUATE = ("evaluate", "result/reconstruction.npz", "scan.npz")
LIVE = ("live", "model", "-o", "out", "--frames", "pva://t:frames", "--positions", "pva://t:positions")
PLAN = ("simulate", "-o", "scans", "--config", "plan.yaml")

CASES = (
    Case(
        "Unknown flag of ptycho-train",
        ("ptycho-train", "--nepoch", "3"),
        "--nepoch is not a flag. Did you mean 'nepochs'",
    ),
    Case("ptycho-train without a scan", ("ptycho-train", "--nepochs", "3"), "--train_data_file is missing"),
    Case(
        "ptycho-inference without a model", ("ptycho-inference", "--test_data", "scan.npz"), "--model_path is missing"
    ),
    Case(
        "The number of a scan that is alone",
        ("ptycho-inference", "--model_path", "model", "--test_data", "scan.npz", "--file_index", "3"),
        "experiment_number = 3, but 'scan.npz' is a single scan",
    ),
    Case(
        "A window as wide as the object",
        (*("ptycho-inference", "--model_path", "model", "--test_data", "scan.npz"), "--window", "500", "--quiet"),
        "window = 500 leaves nothing of an object",
    ),
    Case("A crop larger than a patch", (*INFER, "scan.npz", "--crop", "100"), "M = 100 pixels cannot be cropped"),
    Case(
        "A simulated object smaller than a pattern",
        PLAN,
        r"image_size = \(32, 32\) leaves a scan no room",
        text("plan.yaml", "datagen: {image_size: [32, 32]}\n"),
    ),
    Case("Unknown command", ("trian",), "No such command 'trian'"),
    Case("No scan is named", ("train", "-o", "out"), "SCANS"),
    Case("No output is named", ("train", "scan.npz"), "Missing option"),
    Case("Unknown flag", (*RUN, "--epoch", "3"), "No such option"),
    Case("Text for a number", (*RUN, "--epochs", "many"), "is not a valid integer"),
    Case("A truth and a reference", (*EVALUATE, "--truth", "scan.npz", "--reference", "scan.npz"), "one at a time"),
    Case("A scan is given as a reconstruction", ("evaluate", "scan.npz", "scan.npz"), "has no 'object'"),
    Case(
        "The reconstruction is of another scan",
        EVALUATE,
        "is of another scan",
        scan_with(xcoords=lambda old: old[::-1] + np.arange(24) / 2, diffraction=lambda old: old[::-1]),
    ),
    Case(
        "The reconstruction is of patterns with other counts",
        EVALUATE,
        "hold other counts",
        scan_with(diffraction=lambda old: old[::-1]),
        exit_code=0,
    ),
    Case(
        "The truth is of another object",
        (*EVALUATE, "--truth", "scan.npz"),
        "have little in common",
        scan_with(objectGuess=lambda old: np.exp(1j * np.random.default_rng(0).random(old.shape))),
        exit_code=0,
        has_computed_numbers=True,
    ),
    Case("The reconstruction is damaged", EVALUATE, "cut short", cut("result/reconstruction.npz", 1000)),
    Case("The reconstruction does not exist", ("evaluate", "absent.npz", "scan.npz"), "absent.npz does not exist"),
    Case(
        "The truth has no object", (*EVALUATE, "--truth", "scan.npz"), "has no objectGuess", scan_with(objectGuess=None)
    ),
    Case("The calibrated scan has no file name", ("calibrate", "scan.npz", "-o", "out"), "must end in '.npz'"),
    Case(
        "Calibration of a scan without a probe", (*CALIBRATE, "--probe", "scan"), "no probe", scan_with(probeGuess=None)
    ),
    Case(
        "Calibration of a data set on disk",
        ("train", "scan.npz", "-o", "out", "--dataset", "set", "--calibrate", "always"),
        "needs scans in memory",
    ),
    Case("Calibration with no modes", (*CALIBRATE, "--modes", "0"), "modes = 0"),
    Case("Calibration with an aperture of no size", (*CALIBRATE, "--aperture", "0"), "aperture_px = 0"),
    Case("Calibration with an infinite defocus", (*CALIBRATE, "--defocus", "inf"), "defocus_px2 = inf"),
    Case("The simulated scan has no file name", ("simulate", "-o", "folder"), "must end in '.npz'"),
    Case("An odd pattern size", (*SIMULATE, "--size", "33"), "size = 33"),
    Case("No patterns", (*SIMULATE, "--patterns", "0"), "patterns = 0"),
    Case("No photons", (*SIMULATE, "--photons", "0"), "photons = 0"),
    Case("Unknown object", (*SIMULATE, "--object", "cat"), "'cat' is not one of"),
    Case("The probe is wider than the pattern", (*SIMULATE, "--probe-diameter", "99"), "wider than the pattern"),
    Case("The beam stop covers the detector", (*SIMULATE, "--beam-stop", "40"), "covers the detector"),
    Case("Too many bad pixels", (*SIMULATE, "--bad-pixels", "0.9"), "must lie in"),
    Case("The object file does not exist", (*SIMULATE, "--object-file", "absent.npy"), "absent.npy"),
    Case("The scan covers too large an object", (*SIMULATE, "--step", "1e5"), "at most"),
    Case("A plan with an unknown key", PLAN, "Did you mean 'patterns'", text("plan.yaml", "pattern: 3\n")),
    Case("A plan with two scans of one name", PLAN, "two scans", text("plan.yaml", "scans: [{name: a}, {name: a}]\n")),
    Case("A plan with too many scans", PLAN, "more than 100000", text("plan.yaml", "scans: [{repeat: 1000000}]\n")),
    Case("A plan whose scans are a number", PLAN, "must be a list", text("plan.yaml", "scans: 3\n")),
    Case(
        "A plan with a name that leaves the folder",
        PLAN,
        "cannot name a file",
        text("plan.yaml", "scans: [{name: ../a}]\n"),
    ),
    Case("A share of scans that is none", (*INFER, "scan.npz", "--share", "4/4"), "must be I/N"),
    Case("A scan is named twice", (*INFER, "--scans", "scan.npz", "scan.npz"), "is named twice"),
    Case("A size no network takes", (*CONVERT, "-o", "new.npz", "--size", "96"), "size = 96 is not one of"),
    Case("A size for a data set", (*CONVERT, "-o", "set", "--size", "64"), "--size 64 is for one NPZ"),
    Case("Several scans for one converted file", (*CONVERT, "scan.npz", "-o", "new.npz"), "names one scan"),
    Case("Data-set options for one file", (*CONVERT, "-o", "new.npz", "--gridsize", "2"), "concern data sets"),
    Case("Shifted positions for a data set", (*CONVERT, "-o", "set", "--shift", "0.5"), "is for one NPZ"),
    Case("Weights split over CPUs", (*RUN, "--devices", "2", "--strategy", "fsdp"), "splits a model over CUDA devices"),
    Case("Spawned on several machines", (*RUN, *SEVERAL, "--strategy", "ddp_spawn"), "on one machine"),
    Case("Machines that do not know one another", (*RUN, *SEVERAL), "NODE_RANK, MASTER_ADDR, MASTER_PORT are not set"),
    Case("Pre-training for no instrument", PRETRAIN, "Missing option '--probe-from'"),
    Case(
        "Pre-training with a scan that has no probe",
        (*PRETRAIN, "--probe-from", "scan.npz"),
        "has no probe",
        scan_with(probeGuess=None),
    ),
    Case("Pre-training on no object", (*PRETRAIN, "--probe-from", "scan.npz", "--objects", "0"), "range x>=1"),
    Case("Pre-training in larger groups", (*PRETRAIN, "--probe-from", "scan.npz", "--gridsize", "6"), "groups 36"),
    Case("A negative number of steps of polish", (*INFER, "scan.npz", "--polish", "-1"), "-1"),
    Case(
        "The figure cannot be drawn",
        (*INFER, "scan.npz", "--quiet"),
        r"figure out/reconstruction\.png was not drawn",
        lambda: Path("out/reconstruction.png/something").mkdir(parents=True),
        exit_code=0,
        has_foreign_words=True,
    ),
    Case("A channel of another kind", (*LIVE, "--stop", "ca://t:done"), "is not the address of a channel"),
    Case("A channel without a name", (*LIVE, "--frames", "pva://"), "is not the address of a channel"),
    Case("A stream that ends after no time", (*LIVE, "--idle", "0"), "must be a number of seconds above 0"),
    Case(
        "A stream with the probe of a scan that has none",
        (*LIVE, "--probe-from", "scan.npz"),
        "has no probe",
        scan_with(probeGuess=None),
    ),
    Case("A replay faster than any detector", ("replay", "scan.npz", "--rate", "1e9"), "--rate 1e\\+09 is not above 0"),
    Case("A replay that loses everything", ("replay", "scan.npz", "--lose", "1"), "is no part of the frames"),
    Case("A watched folder that does not exist", ("watch", "absent", "model", "-o", "out"), "is not a folder"),
    Case(
        "A list of watched files that is none",
        ("watch", "result", "model", "-o", "."),
        "Move it away",
        text("watched.json", "{"),
    ),
    Case("Results in the watched folder itself", ("watch", ".", "model", "-o", "."), "is the watched folder"),
    Case("A report of a folder without results", ("report", "."), "neither wts.h5.zip nor reconstruction.npz"),
    Case("A report of what is not there", ("report", "absent"), "absent does not exist"),
    Case("Halves without their scan", ("report", "result", "--model", "model"), "halves of a scan"),
    Case("A corrected scan that is no NPZ", ("check", "scan.npz", "--mend", "m.h5"), "m.h5 is no NPZ"),
    Case("An angle that is no number", ("convert", "scan.npz", "-o", "new.npz", "--rotate", "nan"), "rotate_deg = nan"),
    Case("The output folder is a file", (*RUN, "-o", "scan.npz"), "could not be written|scan.npz", exit_code=1),
    Case("The output lies below a file", (*SIMULATE[:2], "scan.npz/new.npz", *SIMULATE[3:]), "scan.npz", exit_code=1),
    Case("The network is larger than memory", (*RUN, "--filters-scale", "4000"), "Not enough memory", exit_code=1),
)
