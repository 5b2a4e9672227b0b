//! The metrics as their reader wants them: OpenMetrics, or Prometheus' own older text.

use std::collections::BTreeSet;

/// What the page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    OpenMetrics,
    Classic,
}

impl Language {
    /// As the `Accept` header asks for it; nothing said is the older one, which everything reads.
    pub fn wanted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Language::OpenMetrics,
            false => Language::Classic,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Language::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Language::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `page` is OpenMetrics.
    pub fn write(self, page: String) -> String {
        match self {
            Language::OpenMetrics => page,
            Language::Classic => classic(&page),
        }
    }
}

/// The two differ in little: the older one names a counter with its `_total` throughout, and has no last line.
fn classic(page: &str) -> String {
    let declared = |line: &'_ str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: BTreeSet<String> = page.lines().filter_map(declared).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_its_whole_name_in_the_older_text() {
        let page = "# HELP a_turns Turns.\n# TYPE a_turns counter\na_turns_total{b=\"c\"} 1\n\
                    # HELP a_drift Drift.\n# TYPE a_drift gauge\na_drift 2\n# EOF\n";
        assert_eq!(
            classic(page),
            "# HELP a_turns_total Turns.\n# TYPE a_turns_total counter\na_turns_total{b=\"c\"} 1\n\
             # HELP a_drift Drift.\n# TYPE a_drift gauge\na_drift 2\n"
        );
    }

    #[test]
    fn the_reader_says_what_it_reads() {
        assert_eq!(
            Language::wanted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Language::OpenMetrics
        );
        assert_eq!(Language::wanted("*/*"), Language::Classic);
    }
}
