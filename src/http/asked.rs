//! What is asked of the resources, in the query of an address.

use crate::change::{ResourceId, quoted};
use crate::kinds::{any_id, called, parse_id};
use crate::plan::states::{State, States};
use crate::turn::list::Filter;

/// Resources in an answer: unless asked for otherwise, and at most.
const ROWS: (usize, usize) = (50, 500);
/// Letters of a text that is looked for.
const TEXT: usize = 200;

/// `?kind=&state=&q=&after=&limit=`, in any order; what is empty is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub filter: Filter,
    pub after: Option<ResourceId>,
    /// From 1 to 500.
    pub limit: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { filter: Filter::default(), after: None, limit: ROWS.0 }
    }
}

impl Asked {
    /// Errors: what is wrong with it, and what would do.
    pub fn read(query: &str) -> Result<Self, String> {
        Self::from_pairs(url::form_urlencoded::parse(query.as_bytes()))
    }

    /// As [`Asked::read`], of names and values.
    pub fn from_pairs<T: AsRef<str>>(pairs: impl Iterator<Item = (T, T)>) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            let value = value.as_ref().trim();
            if !value.is_empty() {
                asked.take(name.as_ref(), value)?;
            }
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Self { filter, after, limit } = self;
        match name {
            "kind" => filter.kind = Some(called(value)?),
            "state" => filter.states = value.split(',').map(State::read).collect::<Result<States, _>>()?,
            "q" if value.chars().count() > TEXT => return Err(format!("q may have {TEXT} letters")),
            "q" => filter.text = value.to_owned(),
            "after" => *after = Some(any_id(value).map_or_else(|| parse_id(value), Ok)?),
            "limit" => {
                let number = value.parse().ok().filter(|number| (1..=ROWS.1).contains(number));
                *limit = number.ok_or_else(|| format!("limit must be a number from 1 to {}", ROWS.1))?;
            }
            _ => {
                return Err(format!(
                    "there is no parameter {}; there are kind, state, q, after and limit",
                    quoted(name)
                ));
            }
        }
        Ok(())
    }

    /// The same as a query, from after `after` on.
    pub fn query(&self, after: Option<&ResourceId>) -> String {
        let Self { filter: Filter { kind, states, text }, after: _, limit } = self;
        let states = states.iter().map(State::word).collect::<Vec<_>>().join(",");
        let limit = (*limit != ROWS.0).then(|| limit.to_string());
        let pairs = [
            ("kind", kind.map(|kind| kind.name.to_owned())),
            ("state", Some(states).filter(|states| !states.is_empty())),
            ("q", Some(text.clone()).filter(|text| !text.is_empty())),
            ("limit", limit),
            ("after", after.map(ResourceId::to_string)),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_written() {
        let query = "kind=host&state=drifted%2Cpending&q=a%26b&limit=500&after=host%2F215";
        let asked = Asked::read(query).unwrap();
        assert_eq!(asked.filter.text, "a&b");
        assert_eq!(asked.query(asked.after.as_ref()), query);
        let nothing = Asked::read("kind=&state=&q=&after=&limit=").unwrap();
        assert_eq!((nothing.query(None), nothing.limit), (String::new(), 50));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_do() {
        for (query, said) in [
            ("kind=nothing", "kind must be one of session, host, server, instance"),
            (
                "state=good",
                "state must be one of failed, blocked, drifted, pending, unmanaged, suspended, in_sync, protected",
            ),
            ("limit=0", "limit must be a number from 1 to 500"),
            ("limit=501", "limit must be a number from 1 to 500"),
            (
                "after=215",
                "\"215\" is not an address: write KIND/NAME, with one of session, host, server, instance as the kind",
            ),
            ("x=y", "there is no parameter \"x\"; there are kind, state, q, after and limit"),
        ] {
            assert_eq!(Asked::read(query).unwrap_err(), said);
        }
        assert!(Asked::read(&format!("q={}", "a".repeat(201))).is_err());
    }
}
