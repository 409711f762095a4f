use super::*;
use crate::cli::schema::Kind;
use crate::cli::testing::FIVE_NODES;
use crate::cli::text::{export_set_lines, load, parse_set_lines, parse_tree};
use crate::cli::value::Type;
use crate::model::config::{Member, Service};
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

/// Any value of a type, as typed.
fn typed(kind: Type) -> BoxedStrategy<String> {
    let v4 = any::<[u8; 4]>().prop_map(|o| IpAddr::from(o).to_string());
    let v6 = any::<[u8; 16]>().prop_map(|o| IpAddr::from(o).to_string());
    let ip = prop_oneof![v4, v6];
    let cidr = (ip.clone(), 0_u8..=32).prop_map(|(ip, n)| format!("{ip}/{n}").parse::<Cidr>().unwrap());
    match kind {
        Type::Name | Type::Refer(_) => "[a-z0-9][a-zA-Z0-9._-]{0,31}".boxed(),
        Type::Hostname => "[a-z0-9][a-z0-9.-]{0,63}".boxed(),
        Type::Device => "[a-z][a-z0-9.]{0,14}".boxed(),
        Type::Label => "[a-z][a-z0-9:]{0,14}".boxed(),
        Type::Text => "[!#-&(-\\[\\]-~]{1,200}".boxed(),
        Type::Target => "/[!#-&(-\\[\\]-~]{0,200}".boxed(),
        Type::Escaped => "([!-\\[\\]-~]|\\\\[srnt0]|\\\\x[0-9a-f]{2}){1,60}".boxed(),
        Type::Secret => "[a-z][!-~]{0,100}".boxed(),
        Type::Hash => {
            "\\$argon2id\\$v=19\\$m=[1-9][0-9]{3},t=[1-9],p=[1-4]\\$([a-zA-Z0-9+/]{4}){3,12}\\$([a-zA-Z0-9+/]{4}){6,16}".boxed()
        }
        Type::Fingerprint => "[0-9a-f]{64}".boxed(),
        Type::Mac => "[0-9a-f][26ae](:[0-9a-f]{2}){5}".boxed(),
        Type::Ip => ip.boxed(),
        Type::Cidr => cidr.prop_map(|c| c.to_string()).boxed(),
        Type::Network => cidr.prop_map(|c| c.network().to_string()).boxed(),
        Type::Number { min, max } => (min..=max).prop_map(|n| n.to_string()).boxed(),
        Type::Span { min, max, step } => {
            (min / step..=max / step).prop_map(move |n| Millis::new((n * step).max(min)).to_string()).boxed()
        }
        Type::Choice(words) => (0..words.len()).prop_map(|i| words[i].word.to_string()).boxed(),
        Type::Codes => "[1-5][0-9]{2}(-599)?(,[1-5][0-9]{2}(-599)?){0,3}".boxed(),
        Type::Ports => {
            (1_u16.., any::<u16>()).prop_map(|(a, b)| Value::Ports(a, a.max(b)).to_string()).boxed()
        }
    }
}

/// Any of these, which are lines each.
fn some_of(each: Vec<BoxedStrategy<Vec<String>>>) -> BoxedStrategy<Vec<String>> {
    let count = each.len();
    (each, proptest::collection::vec(any::<bool>(), count))
        .prop_map(|(all, taken)| {
            all.into_iter().zip(taken).filter(|(_, t)| *t).flat_map(|(lines, _)| lines).collect()
        })
        .boxed()
}

fn under(prefix: String, lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("{prefix} {line}")).collect()
}

/// Lines for anything that the table allows on a level, without the word `set`.
fn lines(items: &'static [Item], secrets: bool) -> BoxedStrategy<Vec<String>> {
    let each = items.iter().map(|item| {
        let word = item.word;
        match &item.kind {
            Kind::Branch { items, presence } => {
                let presence = *presence;
                lines(items, secrets)
                    .prop_map(move |inside| {
                        let mut out = under(word.to_string(), inside);
                        out.extend(presence.then(|| word.to_string()));
                        out
                    })
                    .boxed()
            }
            Kind::List { key, items, .. } => {
                let entry = (typed(*key), lines(items, secrets)).prop_map(move |(key, inside)| {
                    let mut out = vec![format!("{word} {key}")];
                    out.extend(under(format!("{word} {key}"), inside));
                    out
                });
                proptest::collection::vec(entry, 0..3).prop_map(|v| v.concat()).boxed()
            }
            Kind::Leaf { value: Type::Secret | Type::Hash, .. } if !secrets => Just(Vec::new()).boxed(),
            Kind::Leaf { value, .. } => typed(*value).prop_map(move |v| vec![format!("{word} {v}")]).boxed(),
            Kind::Values { value, max } => proptest::collection::vec(typed(*value), 1..=(*max).min(3))
                .prop_map(move |all| all.into_iter().map(|v| format!("{word} {v}")).collect())
                .boxed(),
        }
    });
    some_of(each.collect())
}

fn set(lines: &[String]) -> String {
    lines.iter().map(|line| format!("set {line}\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_table_allows_fits_the_configuration_and_survives_it(all in lines(CONFIG, true)) {
        let (tree, errors) = parse_tree(&set(&all));
        prop_assert_eq!(errors, Vec::new());
        let config = to_config(&tree);
        prop_assert!(config.is_ok(), "{:?}", config);
        let config = config.unwrap();
        prop_assert_eq!(to_tree(&config), tree);
        let blob = postcard::to_allocvec(&config).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Config>(&blob), Ok(config.clone()));
        // Validation may find anything, but it ends.
        let _findings = crate::model::validate::validate(&config);
    }

    #[test]
    fn a_configuration_without_secrets_survives_the_text(all in lines(CONFIG, false)) {
        let (tree, errors) = parse_tree(&set(&all));
        prop_assert_eq!(errors, Vec::new());
        let config = to_config(&tree).unwrap();
        let text = export_set_lines(&config);
        prop_assert!(text.lines().all(|l| l.len() < crate::cli::editor::LINE_BYTES));
        prop_assert_eq!(parse_set_lines(&text), Ok(config));
        let braces = crate::cli::text::braces(&tree, &[]).join("\n");
        prop_assert_eq!(load::read(&Tree::default(), &braces, load::Form::Braces), Ok(tree), "{}", braces);
    }
}

#[test]
fn a_secret_is_left_out_of_an_export_visibly_and_of_every_other_view() {
    let (tree, errors) = parse_tree("set check c login user u password hunter2secret");
    assert_eq!(errors, Vec::new());
    let config = to_config(&tree).unwrap();
    let export = export_set_lines(&config);
    assert_eq!(export, "set check c login user u\n# set check c login password: secret, not exported\n");
    let views = format!(
        "{config:?} {tree:?} {} {}",
        crate::cli::text::braces(&tree, &[]).join(" "),
        crate::cli::text::json(&tree, &[])
    );
    assert!(!views.contains("hunter2"), "{views}");
}

#[test]
fn the_tables_defaults_are_those_of_the_configuration() {
    assert_eq!(to_tree(&Config::default()), Tree::default());
    assert_eq!(to_config(&Tree::default()), Ok(Config::default()));
    let config = parse_set_lines("set pool p server s\nset service s").unwrap();
    let pool = config.pools.values().next().unwrap();
    assert_eq!(pool.servers.values().next(), Some(&Member::default()));
    assert_eq!(pool, &Pool { servers: pool.servers.clone(), ..Pool::default() });
    assert_eq!(config.services.values().next(), Some(&Service::default()));
}

#[test]
fn every_scheduler_of_the_model_is_in_the_table() {
    for (scheduler, name) in Scheduler::ALL {
        let config = parse_set_lines(&alloc::format!("set service s scheduler {name}")).unwrap();
        assert_eq!(config.services.values().next().unwrap().scheduler, scheduler);
    }
}

#[test]
fn the_five_node_example_means_what_it_says() {
    let config = parse_set_lines(FIVE_NODES).unwrap();
    let pool = &config.pools[&"web".parse().unwrap()];
    assert_eq!(pool.dead_time, Some(Millis::from_secs(10)));
    assert_eq!(pool.servers[&"rs1".parse().unwrap()].weight, 2000);
    assert_eq!(config.backup.unwrap().hostname.unwrap().as_str(), "lvs2");
}
