//! Which names are state files, and which belong to an editor, a merge or the system.

/// Whether a file or directory of this name is passed over.
///
/// Hidden ones, which include Emacs' locks (`.#x`) and the versions of a mounted Kubernetes volume (`..2026_01_01`),
/// and what editors, patches and merges leave behind.
pub fn is_ignored(name: &str) -> bool {
    const DROPPINGS: [&str; 7] = ["~", ".swp", ".swo", ".tmp", ".orig", ".rej", ".bak"];
    name.starts_with('.')
        || DROPPINGS.iter().any(|end| name.ends_with(end))
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        // The file by which vim tries out whether it may write here.
        || name == "4913"
}

/// Whether a file of this name is read: `*.yaml` or `*.yml`, and not ignored.
pub fn is_state_file(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !is_ignored(name)
}

/// Whether the name is that of a state file but for how its ending is written, so that it is not read: `.YAML`, `.yml.txt`
/// as an editor may add it, a blank behind it.
pub fn is_misspelt(name: &str) -> bool {
    let usual = name.trim_end().to_ascii_lowercase();
    let usual = usual.strip_suffix(".txt").unwrap_or(&usual);
    let ends = [".yaml", ".yml", ".ymal", ".yalm", ".yaml.", ".yml."].iter().any(|end| usual.ends_with(end));
    ends && !is_state_file(name) && !is_ignored(name)
}

/// The same for a path below the state directory, where no part of it may be ignored.
pub fn is_state_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    is_state_file(name) && !path.split('/').any(is_ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_files_are_told_from_droppings() {
        for name in ["a.yaml", "a.yml", "host 1.yaml", "#1.yaml", "4913.yaml", "ü.yaml"] {
            assert!(is_state_file(name), "{name}");
        }
        for name in [".a.yaml", ".#a.yaml", "#a.yaml#", "a.yaml~", "a.yaml.swp", "4913", "a.yaml.tmp", "a.yaml.orig"] {
            assert!(!is_state_file(name), "{name}");
        }
        for name in ["a.yaml.rej", "a.yaml.bak", "a.json", "yaml", ".yaml", "README.md"] {
            assert!(!is_state_file(name), "{name}");
        }
    }

    #[test]
    fn other_spellings_of_the_ending_are_told_from_other_files() {
        for name in ["a.YAML", "a.Yml", "a.yaml.txt", "a.YML.TXT", "a.yaml ", "a.ymal", "a.yml."] {
            assert!(is_misspelt(name) && !is_state_file(name), "{name}");
        }
        for name in ["a.yaml", "a.yml", ".a.YAML", "a.YAML~", "a.json", "yaml", "README.md", "a.yaml.bak", "a.txt"] {
            assert!(!is_misspelt(name), "{name}");
        }
    }

    #[test]
    fn what_lies_in_an_ignored_directory_is_ignored() {
        assert!(is_state_path("week/one/a.yaml"));
        assert!(!is_state_path(".git/a.yaml") && !is_state_path("old.bak/a.yaml") && !is_state_path("a/.b/c.yaml"));
    }
}
