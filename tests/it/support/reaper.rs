//! Nothing outlives the tests: a small shell process reads, over a pipe, which processes and
//! folders exist. The pipe closes when the test process ends, however it ends, and then the shell
//! removes what is left. Statics are never dropped, so the shared servers rely on it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
entries=''
folders=''
while read -r verb first second; do
    case $verb in
        add) entries="$entries $first:$second" ;;
        forget)
            kept=''
            for entry in $entries; do
                [ "${entry#*:}" = "$first" ] || kept="$kept $entry"
            done
            entries=$kept ;;
        folder) folders="$folders $first" ;;
    esac
done
for entry in $entries; do kill -CONT "${entry#*:}"; kill -"${entry%%:*}" "${entry#*:}"; done
[ -z "$entries" ] || sleep 1
for entry in $entries; do kill -KILL "${entry#*:}"; done
for folder in $folders; do rm -rf "$folder"; done
"#;

#[expect(clippy::zombie_processes, reason = "it outlives this process")]
static REAPER: LazyLock<Mutex<ChildStdin>> = LazyLock::new(|| {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C reaches the whole foreground group, and must not end this one.
        .process_group(0)
        .spawn()
        .expect("sh starts");
    Mutex::new(child.stdin.take().expect("its input is a pipe"))
});

fn tell(line: &str) {
    let mut pipe = REAPER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    pipe.write_all(line.as_bytes()).expect("the reaper listens");
}

/// Ends process `pid` with `signal` (and a second later with KILL) if the tests do not.
pub fn watch(pid: u32, signal: &str) {
    tell(&format!("add {signal} {pid}\n"));
}

/// The process has been waited for: its number may soon be another's.
pub fn forget(pid: u32) {
    tell(&format!("forget {pid}\n"));
}

/// Removes the folder of a server that lives as long as the tests.
pub fn remove_at_exit(folder: &Path) {
    tell(&format!("folder {}\n", folder.display()));
}
