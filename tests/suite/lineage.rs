//! Lineage: whoever stands at a commit that does not contain the one that was applied last takes nothing back.

use std::path::PathBuf;

use crate::daemon::{LATE, SOON, end, found, prepare, sessions, settle, start, titled};
use crate::fixture::process::{Output, Running};
use crate::fixture::{Database, World, both};

/// A project whose state files are committed, which takes the commits for what is desired.
fn committed(world: &mut World) {
    prepare(world);
    world.env("RECONCILE_SOURCE", "head");
    world.git_init();
    world.write(".gitignore", ".reconcile\nclones\n*.plan\n");
    world.commit("One");
}

/// Writes the title of the one session, and commits it.
fn title(world: &World, text: &str) -> String {
    world.write("desired-state/a.yaml", &sessions(&[(1, text)]));
    world.commit(text)
}

/// Another clone of the project, and what runs in it.
struct Clone {
    path: PathBuf,
}

impl Clone {
    /// Made with these options of `git clone`.
    fn of(world: &World, name: &str, options: &str) -> Self {
        let path = world.path().join("clones").join(name);
        let source = world.path().display();
        world.sh(&format!("git clone -q {options} file://{source} clones/{name}")).expect_code(0);
        Self { path }
    }

    fn state(&self) -> String {
        self.path.join("desired-state").display().to_string()
    }

    fn once(&self, world: &World, more: &[&str]) -> Output {
        world.run(&[&["--once", "--state", &self.state()], more].concat())
    }

    fn git(&self, world: &World, line: &str) {
        world.sh(&format!("cd {} && git {line}", self.path.display())).expect_code(0);
    }

    #[track_caller]
    fn start(&self, world: &World) -> Running {
        world.spawn(&["-v", "--state", &self.state()])
    }
}

/// The commit that was applied last under `name`.
fn last(world: &World, name: &str) -> String {
    let newest =
        format!("SELECT commit_id FROM reconcile_lineage WHERE lineage = '{name}' ORDER BY number DESC LIMIT 1");
    world.sql(&newest).trim().to_owned()
}

#[track_caller]
fn once(world: &World, code: i32, more: &[&str]) -> Output {
    world.run(&[&["--once"], more].concat()).expect_code(code)
}

/// What a held run says: why, and that it was not applied.
#[track_caller]
fn held(output: Output, before: &str, after: &str) {
    let said = flat(&output.expect_code(1).stderr);
    let why = format!("behind: {} was applied, and {} does not contain it", &before[..7], &after[..7]);
    assert!(said.contains(&why), "{said}");
    assert!(
        said.contains("not applied: ") && said.contains("git pull") && said.contains("reconcile approve"),
        "{said}"
    );
}

/// On one line, however it was wrapped.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The digest that `status` shows.
fn digest(world: &World) -> String {
    let status = flat(&world.run(&["status"]).expect_code(0).stdout);
    let begin = status.find("reconcile approve ").unwrap_or_else(|| panic!("{status}")) + "reconcile approve ".len();
    status[begin..begin + 32].to_owned()
}

both! {
    fn a_stale_clone_that_takes_over_reverts_nothing_and_goes_on_when_it_is_pulled(world) {
        committed(world);
        let older = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let stale = Clone::of(world, "stale", "");
        let newer = title(world, "Two");
        let first = start(world);
        titled(world, SOON, &["Two"]);
        let mut second = stale.start(world);
        second.wait_for("following:", LATE);
        end(first);
        let why = format!("behind: {} was applied, and {} does not contain it", &newer[..7], &older[..7]);
        second.wait_for(&why, LATE);
        assert_eq!(found(world), "Two");
        assert_eq!(last(world, "default"), newer);
        let told = |arguments: &[&str]| flat(&world.run(arguments).expect_code(0).stdout);
        let status = told(&["status"]);
        assert!(status.contains("not applied: behind: "), "{status}");
        let explained = told(&["explain", "session/1", "--state", &stale.state()]);
        assert!(explained.contains("behind: ") && explained.contains("git pull"), "{explained}");

        stale.git(world, "pull -q");
        settle(LATE, &false, || told(&["status"]).contains("not applied: "));
        stale.git(world, "-c user.name=n -c user.email=n@example.org commit -q --allow-empty -m three");
        settle(LATE, &false, || last(world, "default") == newer);
        assert_eq!(found(world), "Two");
        end(second);
    }

    fn a_reset_an_amended_commit_and_another_branch_are_held_and_a_revert_passes(world) {
        committed(world);
        world.git(&["branch", "aside"]);
        let applied = title(world, "Two");
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        let older = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        held(once(world, 1, &[]), &applied, &older);
        once(world, 4, &["--detailed-exitcode"]);
        world.git(&["reset", "--quiet", "--hard", &applied]);
        world.git(&["commit", "--quiet", "--amend", "--message", "Two, in other words"]);
        let amended = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        held(once(world, 1, &[]), &applied, &amended);
        world.git(&["checkout", "--quiet", "aside"]);
        held(once(world, 1, &[]), &applied, &older);
        assert_eq!((found(world).as_str(), last(world, "default")), ("Two", applied.clone()));

        // A branch that contains it passes, also by a merge, and where no branch is checked out.
        world.git(&["commit", "--quiet", "--allow-empty", "--message", "aside"]);
        world.git(&["merge", "--quiet", "--no-edit", &applied]);
        once(world, 0, &[]);
        world.git(&["checkout", "--quiet", "--detach"]);
        let there = title(world, "Three");
        once(world, 0, &[]);
        assert_eq!((found(world).as_str(), last(world, "default")), ("Three", there));
        world.git(&["revert", "--no-edit", "HEAD"]);
        once(world, 0, &[]);
        assert_eq!(found(world), "Two");
    }

    fn whoever_means_to_go_back_says_so_with_a_reason(world) {
        committed(world);
        let older = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let newer = title(world, "Two");
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", &older]);
        once(world, 1, &[]);
        let digest = digest(world);
        world.run(&["approve", &digest, "--reason", "Two was wrong"]).expect_code(0);
        let output = once(world, 0, &[]);
        assert!(output.stdout.contains("let pass: behind: "), "{}", output.stdout);
        assert_eq!((found(world).as_str(), last(world, "default")), ("One", older.clone()));
        // From here on the newer one contains what was applied last. Going back again takes another word.
        world.git(&["reset", "--quiet", "--hard", &newer]);
        once(world, 0, &[]);
        let other = title(world, "Other");
        world.git(&["reset", "--quiet", "--hard", &newer]);
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", &other]);
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", &newer]);
        held(once(world, 1, &[]), &other, &newer);
        once(world, 0, &["--force", "--reason", "Other was wrong"]);
        assert_eq!((found(world).as_str(), last(world, "default")), ("Two", newer));
        let journal = world.sql("SELECT reason FROM reconcile_journal WHERE action = 'lineage' ORDER BY journal_id");
        assert!(journal.starts_with("approved: behind: ") && journal.ends_with("Other was wrong\n"), "{journal}");
    }

    fn two_repositories_for_one_database_want_two_names(world) {
        committed(world);
        once(world, 0, &[]);
        let first = last(world, "default");
        world.sh("mkdir -p clones/other/desired-state && cp -r desired-state clones/other && cd clones/other \
                  && git init -q -b main && git add -A && git commit -q -m other").expect_code(0);
        let other = Clone { path: world.path().join("clones/other") };
        let said = flat(&other.once(world, &[]).expect_code(1).stderr);
        assert!(said.contains("another history: ") && said.contains("two repositories"), "{said}");
        assert_eq!(last(world, "default"), first);
        world.env("RECONCILE_LINEAGE", "other");
        other.once(world, &[]).expect_code(0);
        assert_ne!(last(world, "other"), first);
        world.env("RECONCILE_LINEAGE", "default");
        once(world, 0, &[]);
        assert_eq!(last(world, "default"), first);
    }

    fn in_a_shallow_clone_what_was_applied_before_or_committed_before_is_held(world) {
        committed(world);
        // Of one commit alone, all of the history would be there.
        title(world, "Early");
        let early = Clone::of(world, "early", "--depth 1");
        once(world, 0, &[]);
        world.git(&["commit", "--quiet", "--allow-empty", "--message", "not applied", "--date", "2100-01-01T00:00:00Z"]);
        world.env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z");
        world.git(&["checkout", "--quiet", "-b", "aside"]);
        title(world, "Aside");
        let aside = Clone::of(world, "aside-clone", "--depth 1");
        world.env("GIT_COMMITTER_DATE", "2027-01-01T00:00:00Z");
        world.git(&["checkout", "--quiet", "main"]);
        title(world, "Two");
        let newer = Clone::of(world, "newer", "--depth 1");
        let passed = newer.once(world, &[]).expect_code(0).stdout;
        assert!(passed.contains("lineage unknown: shallow clone"), "{passed}");
        assert_eq!(found(world), "Two");
        for clone in [&early, &aside] {
            let said = flat(&clone.once(world, &[]).expect_code(1).stderr);
            assert!(said.contains("behind: ") && said.contains("(shallow clone)"), "{said}");
        }
        world.env("GIT_COMMITTER_DATE", "2027-01-02T00:00:00Z");
        title(world, "Three");
        let newest = Clone::of(world, "newest", "--depth 1");
        world.env("RECONCILE_GIT_LINEAGE", "strict");
        let said = flat(&newest.once(world, &[]).expect_code(1).stderr);
        assert!(said.contains("lineage unknown: shallow clone") && said.contains("strict"), "{said}");
        assert_eq!(found(world), "Two");
    }

    fn a_plan_says_that_it_would_be_held_and_records_nothing(world) {
        committed(world);
        let applied = title(world, "Two");
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        let count = |world: &World| world.sql("SELECT count(*), max(number) FROM reconcile_lineage");
        let before = count(world);
        for format in ["text", "json", "markdown"] {
            let plan = world.run(&["--plan", "--format", format]).expect_code(0).stdout;
            assert!(plan.contains("behind") && plan.contains(&applied[..7]), "{plan}");
            world.run(&["--plan", "--format", format, "--detailed-exitcode"]).expect_code(4);
        }
        assert_eq!(count(world), before);
        world.run(&["host", "create", "--session-id", "1", "--created-by", "Noor Team"]).expect_code(0);
        assert_eq!(count(world), before);
    }

    fn a_saved_plan_follows_the_same_rule(world) {
        committed(world);
        let older = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let applied = title(world, "Two");
        once(world, 0, &[]);
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
        held(world.run(&["--apply", "saved.plan"]), &applied, &older);
        world.run(&["--apply", "saved.plan", "--detailed-exitcode"]).expect_code(4);
        assert_eq!((found(world).as_str(), last(world, "default")), ("Two", applied));
        world.run(&["--apply", "saved.plan", "--force", "--reason", "Two was wrong"]).expect_code(0);
        assert_eq!((found(world).as_str(), last(world, "default")), ("One", older));
    }

    fn what_was_applied_before_there_was_a_record_is_recorded_silently(world) {
        committed(world);
        title(world, "Two");
        once(world, 0, &[]);
        world.sql("DELETE FROM reconcile_lineage");
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        let output = once(world, 0, &[]);
        assert!(!output.text().contains("behind"), "{}", output.text());
        assert_eq!(last(world, "default"), world.git(&["rev-parse", "HEAD"]).trim());
        // Also of a run that has nothing to change.
        world.sql("DELETE FROM reconcile_lineage");
        once(world, 0, &[]);
        assert_eq!(last(world, "default"), world.git(&["rev-parse", "HEAD"]).trim());
    }
}

fn world() -> World {
    let mut world = World::on(Database::Sqlite);
    committed(&mut world);
    world
}

#[test]
fn in_development_whoever_works_on_the_files_is_warned() {
    let mut world = world();
    world.env("RECONCILE_SOURCE", "worktree");
    title(&world, "Two");
    once(&world, 0, &[]);
    world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let output = once(&world, 0, &[]);
    assert!(output.stdout.contains("behind: "), "{}", output.text());
    assert_eq!(found(&world), "One");
    assert_eq!(last(&world, "default"), world.git(&["rev-parse", "HEAD"]).trim());
}

#[test]
fn while_commits_are_moved_about_nothing_is_taken_back() {
    let mut world = world();
    world.git(&["branch", "aside"]);
    let applied = title(&world, "Two");
    once(&world, 0, &[]);
    world.git(&["checkout", "--quiet", "aside"]);
    title(&world, "Aside");
    world.git(&["checkout", "--quiet", "main"]);
    for (begin, give_up) in [
        ("git merge aside", "git merge --abort"),
        ("git cherry-pick aside", "git cherry-pick --abort"),
        ("git rebase aside", "git rebase --abort"),
    ] {
        assert_ne!(world.sh(begin).code, 0, "{begin}");
        world.run(&["--once"]);
        assert_eq!((found(&world).as_str(), last(&world, "default")), ("Two", applied.clone()), "{begin}");
        world.sh(give_up).expect_code(0);
    }
    world.env("RECONCILE_SOURCE", "worktree");
    once(&world, 0, &[]);
    assert_eq!(found(&world), "Two");
}

#[test]
fn only_the_last_thousand_commits_are_remembered() {
    let world = world();
    once(&world, 0, &[]);
    world.sql(
        "INSERT INTO reconcile_lineage (lineage, commit_id, number, applied_at, is_clean)
         WITH RECURSIVE n(i) AS (SELECT -2000 UNION ALL SELECT i + 1 FROM n WHERE i < 0)
         SELECT 'default', 'old ' || i, i, '2026-01-01T00:00:00+00:00', TRUE FROM n",
    );
    world.sql("INSERT INTO reconcile_lineage SELECT 'other', 'old', -1, NULL, applied_at, TRUE, NULL FROM reconcile_lineage LIMIT 1");
    title(&world, "Two");
    once(&world, 0, &[]);
    let count = "SELECT count(*), max(number) FROM reconcile_lineage WHERE lineage = 'default'";
    assert!(world.sql(count).starts_with("1000|"), "{}", world.sql(count));
    assert_eq!(last(&world, "other"), "old");
}

#[test]
fn what_somebody_else_has_written_for_a_commit_is_no_way_past() {
    let world = world();
    once(&world, 0, &[]);
    for row in ["--all", "HEAD", "\u{1b}[31m", ""] {
        world.sql(&format!("UPDATE reconcile_lineage SET commit_id = '{row}'"));
        let said = once(&world, 1, &[]).stderr;
        assert!(said.contains("was applied") && !said.contains('\u{1b}'), "{said}");
    }
}
