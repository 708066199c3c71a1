//! A throw-away PostgreSQL cluster for this test process, on a unix socket. Where PostgreSQL is not installed, the tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use store::{PostgresConfig, PostgresStore, Revision, Store};

use crate::suite::{ITEMS, put};

pub(crate) struct Cluster {
    folder: PathBuf,
    _watchdog: Child,
}

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();

/// The cluster of this process, started when first asked for.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    let cluster = CLUSTER.get_or_init(Cluster::start).as_ref();
    if cluster.is_none() {
        println!(
            "SKIPPED: no usable PostgreSQL (initdb and pg_ctl in /usr/lib/postgresql/*/bin or PATH): the PostgreSQL engine is not tested"
        );
    }
    cluster
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let in_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    versions.into_iter().rev().chain(in_path).find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// PostgreSQL refuses to run as root: then the packaged user runs it.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

impl Cluster {
    fn start() -> Option<Self> {
        let programs = programs()?;
        // Short, because a unix socket's path is at most about 100 bytes; outlives this function, removed by the watchdog.
        let folder = tempfile::Builder::new().prefix("bwpg").tempdir_in("/tmp").ok()?.keep();
        if is_root() && !Command::new("chown").arg("postgres").arg(&folder).status().is_ok_and(|status| status.success()) {
            return None;
        }
        let data = folder.join("data");
        let quiet = |command: &mut Command| {
            command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if !quiet(command(&programs.join("initdb")).arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "bailiwick",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ])) {
            return None;
        }
        let options = format!("-c listen_addresses='' -c unix_socket_directories={} -c fsync=off -c max_connections=300", folder.display());
        let log = folder.join("log");
        if !quiet(command(&programs.join("pg_ctl")).arg("-D").arg(&data).arg("-l").arg(&log).args(["-o", &options, "-w", "start"])) {
            return None;
        }
        let watchdog = stop_with_this_process(&programs, &folder, &data);
        Some(Self { folder, _watchdog: watchdog })
    }

    pub(crate) fn config(&self, schema: &str) -> PostgresConfig {
        let connection = format!("host={} user=bailiwick dbname=postgres", self.folder.display());
        let mut config = PostgresConfig::new(&connection, schema).unwrap();
        config.max_snapshots = 6;
        config.poll_interval = Duration::from_millis(20);
        config
    }

    pub(crate) async fn store(&self, schema: &str) -> PostgresStore {
        PostgresStore::connect(self.config(schema)).await.unwrap()
    }
}

/// A shell that waits for the end of its standard input, which is the end of this process however it ends.
fn stop_with_this_process(programs: &Path, folder: &Path, data: &Path) -> Child {
    let script =
        format!("cat >/dev/null; {}/pg_ctl -D {} -m immediate stop; rm -rf {}", programs.display(), data.display(), folder.display());
    let mut shell = command(Path::new("/bin/sh"));
    shell.args(["-c", &script]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_one_order() {
    let Some(cluster) = cluster() else { return };
    let (one, two) = (cluster.store("two_nodes").await, cluster.store("two_nodes").await);
    let (one, two) = (std::sync::Arc::new(one), std::sync::Arc::new(two));
    let mut tasks = Vec::new();
    for task in 0..20 {
        for node in [&one, &two] {
            let node = node.clone();
            tasks.push(tokio::spawn(async move {
                node.commit(store::Batch { writes: vec![put(&task.to_string(), "1")], ..Default::default() }).await.unwrap().0
            }));
        }
    }
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<_>>());
    // Each node hears of the other's commits.
    for node in [&one, &two] {
        node.head().wait_for(|head| *head == Revision(40)).await.unwrap();
        assert!(node.snapshot().await.unwrap().get(ITEMS, b"19").await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_exactly_on_two_nodes() {
    let Some(cluster) = cluster() else { return };
    let nodes = [cluster.store("count_nodes").await, cluster.store("count_nodes").await].map(std::sync::Arc::new);
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let node = nodes[task % 2].clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    crate::suite::increment(&(node.clone() as _), "shared").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let count = nodes[0].snapshot().await.unwrap().get(ITEMS, b"shared").await.unwrap().unwrap();
    assert_eq!(count.value, "80");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_snapshots_than_connections_wait_their_turn() {
    let Some(cluster) = cluster() else { return };
    let mut config = cluster.config("snapshots");
    config.max_snapshots = 1;
    let node = PostgresStore::connect(config.clone()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(node.snapshot().await.unwrap().revision(), Revision(0));
    }
    config.wait_timeout = Duration::from_millis(1);
    let node = PostgresStore::connect(config).await.unwrap();
    let _held = node.snapshot().await.unwrap();
    assert!(node.snapshot().await.is_err());
}

#[tokio::test]
async fn a_schema_name_cannot_carry_sql() {
    let Some(cluster) = cluster() else { return };
    assert!(PostgresStore::connect(cluster.config("x; DROP TABLE rows")).await.is_err());
}
