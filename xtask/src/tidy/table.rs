//! What `tidy` allows and forbids, as data. To change a rule's reach, change this file alone.

/// The layers: each of our crates with those that it may use. Arrows point down only.
///
/// A test-support crate `x-testing` needs no row: it may use `x` and whatever `x` may use.
pub(crate) const LAYERS: &[(&str, &[&str])] = &[
    ("xtask", &[]),
    (
        "webnn-pool",
        &[
            "service",
            "webnn-bridge",
            "exporters",
            "pool-core",
            "sharding",
            "perf-history",
            "recovery",
            "onnx-graph",
            "provision",
            "telemetry",
            "tensor",
            "vocab",
        ],
    ),
    (
        "service",
        &[
            "exporters",
            "pool-core",
            "sharding",
            "perf-history",
            "recovery",
            "onnx-graph",
            "telemetry",
            "tensor",
            "vocab",
        ],
    ),
    ("webnn-bridge", &["pool-core", "recovery", "provision", "telemetry", "tensor", "vocab"]),
    ("pool-core", &["sharding", "perf-history", "recovery", "telemetry", "tensor", "vocab"]),
    ("sharding", &["recovery", "onnx-graph", "telemetry", "tensor", "vocab"]),
    ("perf-history", &["telemetry", "tensor", "vocab"]),
    ("recovery", &["telemetry", "vocab"]),
    ("onnx-graph", &["tensor", "vocab"]),
    ("provision", &["vocab"]),
    ("exporters", &["telemetry", "vocab"]),
    ("telemetry", &["vocab"]),
    ("tensor", &["vocab"]),
    ("vocab", &[]),
];

/// The ending of a test-support crate's name.
pub(crate) const TESTING: &str = "-testing";

/// Crates that must stay embeddable alone, with the packages that may not appear anywhere in their tree.
pub(crate) const FORBIDDEN_IN_TREE: &[(&[&str], &[&str])] = &[(
    &["sharding", "recovery", "pool-core"],
    &[
        "thirtyfour",
        "tungstenite",
        "tokio-tungstenite",
        "axum",
        "hyper",
        "sqlx",
        "rusqlite",
        "postgres",
        "tokio-postgres",
    ],
)];

/// Lines that one Rust file may have.
pub(crate) const MAX_LINES: usize = 600;

/// Code that may stand in no Rust file, with what to do about it. Comments and text in quotes are not code.
pub(crate) const FORBIDDEN_CODE: &[(&str, &str)] = &[
    ("#[ignore", "let the test run, or delete it"),
    ("#[should_panic", "assert on the error or the panic's payload in the test"),
    ("todo!", "write it, or leave the item out"),
    ("unimplemented!", "write it, or leave the item out"),
];

/// Code that may stand in tests only.
pub(crate) const TEST_ONLY_CODE: &[(&str, &str)] =
    &[(".unwrap()", "return the error, or `.expect(\"…\")` with the reason why it cannot happen")];

/// Code that may stand in no test.
pub(crate) const NO_TEST_CODE: &[(&str, &str)] =
    &[("thread::sleep", "wait for what you wait for, with a deadline, or use tokio's paused time")];

/// Lines that the middle one of all Rust files may have.
pub(crate) const MAX_MEDIAN: usize = 200;

/// What CI runs; every cargo command in it must stand in the README, so that a newcomer runs what CI runs.
pub(crate) const CI: &str = ".ci/run";

/// The front door.
pub(crate) const README: &str = "README.md";

/// Folders that belong to one machine, as segments so that this file does not hold what it forbids. `*` is any name.
pub(crate) const MACHINE_PATHS: &[&[&str]] = &[&["root"], &["work"], &["tmp", "lab"]];

/// Folders of one user. Tests may invent users, because finding things in a home has to be tested.
pub(crate) const USER_PATHS: &[&[&str]] = &[&["home", "*"], &["Users", "*"]];

/// Hosts of package registries, as labels for the same reason. Tools find their registry through their own settings.
pub(crate) const REGISTRY_HOSTS: &[&[&str]] = &[
    &["index", "crates", "io"],
    &["static", "crates", "io"],
    &["registry", "npmjs", "org"],
    &["registry", "yarnpkg", "com"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["deb", "debian", "org"],
    &["security", "debian", "org"],
    &["archive", "ubuntu", "com"],
    &["repo1", "maven", "org"],
];

/// The folder of the guides.
pub(crate) const BOOK: &str = "docs/";

/// The contents of the book that the guides are.
pub(crate) const CONTENTS: &str = "docs/SUMMARY.md";

/// Folders whose files are named in the guides by their path from the root.
pub(crate) const NAMED_FOLDERS: &[&str] =
    &["crates/", "docs/", "examples/", "fixtures/", "fuzz/", "xtask/", ".ci/", ".cargo/"];

/// The guide with an entry for every error.
pub(crate) const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// Errors without an entry there, each with the reason why no user of the command, the server or the facade meets it.
pub(crate) const UNSEEN_ERRORS: &[(&str, &str)] = &[
    (
        "tensor::FrameError",
        "page and host are of one version: a bad frame is a bug, told as a protocol violation",
    ),
    ("tensor::TensorError", "for who makes tensors in Rust; in a message from outside, `DataError` says it"),
    ("tensor::UnknownDType", "datatypes from outside are those of the protocol, whose own error names them"),
    ("vocab::ParseModelHashError", "hashes come from the pool itself"),
    ("perf-history::UnknownOutcome", "what a damaged history holds is told by `StoreError`"),
    ("perf-history::WeightsError", "weights are set in Rust alone"),
    ("recovery::AttemptError", "what an implementor of the seam answers; `AttemptFailure` tells it"),
    ("recovery::ParseError", "a reading of memory that fails is left out, and the others count"),
    ("recovery::ReadError", "a reading of memory that fails is left out, and the others count"),
    ("sharding::CachesLost", "caches are rebuilt, and only a failure of that is told"),
    (
        "sharding::ExecutorConfigError",
        "the facade sets up the executor and says `a setting of sharding is wrong`",
    ),
];

/// Where every crate has its section with an invariant.
pub(crate) const ARCHITECTURE: &str = "docs/architecture.md";

/// Words that a bold invariant has at the least; fewer is emphasis.
pub(crate) const INVARIANT_WORDS: usize = 4;
