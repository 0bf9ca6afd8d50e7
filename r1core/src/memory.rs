//! How much memory this process may still take.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that this process can allocate before the system takes something back or ends it: what the machine has free
/// (its file cache counted as free) and what every control group around the process allows. `None` where the system
/// does not say; only Linux is asked.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    available_from(&read)
}

/// As [`available`], from files that `read` gives.
fn available_from(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = number_after(&read(Path::new("/proc/meminfo"))?, "MemAvailable:")?.checked_mul(1024)?;
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| group_folder(line)).filter_map(|(root, path, version)| {
        let folder = root.join(path.trim_start_matches('/'));
        // A limit further up holds too. In a container the path may be of the host, with only the root to be seen.
        folder.ancestors().take_while(|f| f.starts_with(&root)).filter_map(|f| room(read, f, version)).min()
    });
    of_groups.chain([machine]).min()
}

/// Whose file names to expect.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

/// Root, path below it and version of the memory controller in a line of `/proc/self/cgroup`.
fn group_folder(line: &str) -> Option<(PathBuf, &str, Version)> {
    let mut parts = line.splitn(3, ':').skip(1);
    match (parts.next()?, parts.next()?) {
        ("", path) => Some((PathBuf::from("/sys/fs/cgroup"), path, Version::Two)),
        (controllers, path) if controllers.split(',').any(|c| c == "memory") => {
            Some((PathBuf::from("/sys/fs/cgroup/memory"), path, Version::One))
        }
        _ => None,
    }
}

/// What a group may still take: its limit less what it uses, cached files not counted. `None` without a limit.
fn room(read: &dyn Fn(&Path) -> Option<String>, folder: &Path, version: Version) -> Option<u64> {
    let (limit, usage, cache) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
        Version::Two => ("memory.max", "memory.current", "file"),
    };
    let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
    let limit = number(limit)?;
    let cached = read(&folder.join("memory.stat")).and_then(|stat| number_after(&stat, cache)).unwrap_or(0);
    Some(limit.saturating_sub(number(usage)?.saturating_sub(cached)))
}

/// The number that follows `key` in a text of lines such as `key 123 kB`.
fn number_after(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? == key { words.next()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)], path: &Path) -> Option<String> {
        list.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn the_tightest_limit_counts_and_cached_files_do_not() {
        let machine = [("/proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:   1000 kB\n")];
        let one = [
            machine[0],
            ("/proc/self/cgroup", "4:cpu,memory:/a/b\n1:cpuset:/x\n"),
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "5\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "70000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "50000\n"),
            ("/sys/fs/cgroup/memory/a/memory.stat", "cache 1\ntotal_cache 40000\n"),
        ];
        let two = [
            machine[0],
            ("/proc/self/cgroup", "0::/a\n"),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory.max", "3000\n"),
            ("/sys/fs/cgroup/memory.current", "4000\n"),
        ];
        assert_eq!(available_from(&|path| files(&machine, path)), Some(1000 << 10));
        assert_eq!(available_from(&|path| files(&one, path)), Some(60_000));
        assert_eq!(available_from(&|path| files(&two, path)), Some(0));
        assert_eq!(available_from(&|_| None), None);
        assert_eq!(available_from(&|_| Some(String::from("nonsense: : \n::\n"))), None);
    }
}
