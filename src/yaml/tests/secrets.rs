//! Published credentials in state files: reported wherever they stand, and never shown.

use proptest::prelude::*;

use super::*;
use crate::credential::tests::samples;

/// Places for a credential: in a title, a reason, a key, a comment, a name, a list, an anchor, a tag, below another key; in
/// any style.
const PLACES: [&str; 24] = [
    "sessions:\n  - id: 1\n    title: HERE\n",
    "sessions:\n  - id: 1\n    title: a HERE\n",
    "sessions:\n  - id: 1\n    title: 'HERE'\n",
    "sessions:\n  - id: 1\n    title: \"HERE\"\n",
    "sessions: [{id: 1, title: HERE}]\n",
    "sessions:\n  - id: 1\n    title: |\n      HERE\n",
    "sessions:\n  - id: HERE\n",
    "sessions:\n  - id: 1\n    status: HERE\n",
    "sessions:\n  - id: 1\n    expires_at: HERE\n",
    "sessions:\n  - id: 1\n    note: HERE\n",
    "sessions:\n  - id: 1\n    HERE: note\n",
    "sessions:\n  - id: 1\n    more: {HERE: note}\n",
    "sessions:\n  - id: 1\n    more: [a, {b: [HERE]}]\n",
    "HERE: 1\n",
    "HERE\n",
    "- HERE\n",
    "# HERE\nsessions:\n  - id: 1\n",
    "sessions:\n  - id: 1 # HERE\n",
    "sessions:\n  - id: 1\n    title: One # see HERE\n",
    "hosts:\n  - session: 1\n    reason: because of HERE, of course\n",
    "hosts:\n  - session: 1\n    expires_in: HERE\n",
    "hosts:\n  - session: 1\n    active: HERE\n",
    "instances:\n  - id: fbaa8c92-0000-4000-8000-000000000001\n    note: HERE\n",
    "instances:\n  - id: fbaa8c92-0000-4000-8000-000000000001\n    name: HERE\n",
];

/// All that is said of a file, in every form.
fn said(text: &str) -> String {
    let problems = reading(text).problems;
    let json = serde_json::to_string(&problems.iter().collect::<Vec<_>>()).unwrap();
    format!("{}\n{}\n{json}", problems.render(false, 120), problems.render(false, 40))
}

proptest! {
    #[test]
    fn a_credential_is_reported_wherever_it_stands_and_never_shown(
        seed in any::<u64>(),
        which in any::<prop::sample::Index>(),
        place in 0..PLACES.len(),
    ) {
        let samples = samples(&mut fastrand::Rng::with_seed(seed));
        let sample = which.get(&samples);
        let text = PLACES[place].replace("HERE", sample);
        let said = said(&text);
        prop_assert!(said.contains("looks like"), "{}\n{}", text, said);
        // Neither as a whole, nor what of it is secret.
        prop_assert!(!said.contains(&sample[sample.len() - 8..]), "{}\n{}", text, said);
    }
}

#[test]
fn what_is_found_is_named_with_its_place_and_what_to_do() {
    let file = "sessions:\n  - id: 1\n    title: AKIAIOSFODNN7EXAMPLE\nhosts:\n  - session: 1\n    \
                reason: ghp_16C7e42F292c6912E7710c838347Ae178B4a was used # glpat-ABCdef-12345_67890zz\n";
    insta::assert_snapshot!(rendered(file), @"
    state/a.yaml:3:12: title looks like an AWS access key, and a state file holds no secret
      |
    3 |     title: ********
      |            ^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:6:13: reason looks like a GitHub token, and a state file holds no secret
      |
    6 |     reason: ******** was used # ********
      |             ^^^^^^^^^^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:6:65: warning: the comment holds what looks like a GitLab token
      |
    6 |     reason: ******** was used # ********
      |                                 ^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed
    ");
}

#[test]
fn what_only_speaks_of_credentials_passes() {
    for title in ["AKIA", "ghp_ is a prefix", "\"glpat-…\"", "Tokens: a course", "sk_live_environment"] {
        let file = format!("sessions:\n  - id: 1\n    title: {title}\n");
        let file = if title.contains(": ") { file.replace(title, &format!("'{title}'")) } else { file };
        assert_eq!(rendered(&file), "", "{title}");
    }
}
