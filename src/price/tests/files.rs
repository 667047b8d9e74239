use super::*;

const FIRST: &str = "openclaw-trace prices 1 extends\n";

/// The faults of a file with these lines below its first.
fn faults(lines: &str) -> Vec<(usize, usize, String, String)> {
    let faults = Prices::extended(&format!("{FIRST}{lines}")).unwrap_err();
    faults.into_iter().map(|f| (f.line, f.column, f.wanted, f.found)).collect()
}

#[test]
fn the_table_that_is_compiled_in_keeps_the_rules_and_says_what_it_is() {
    let prices = Prices::extended(EMBEDDED).unwrap();
    assert_eq!(prices.tables.len(), 1, "it stands alone");
    let lines: Vec<&str> = EMBEDDED.lines().collect();
    assert_eq!(lines[0], "openclaw-trace prices 1 replaces");
    assert!(EMBEDDED.contains("MIT licence") && EMBEDDED.contains("Copyright"));
    let version = Prices::embedded().version();
    let words: Vec<&str> = version.split(' ').collect();
    assert_eq!((words.len(), words[0], words[1].split('.').count()), (3, "genai-prices", 3), "{version}");
    assert!(day_ms(words[2]) > 0, "{version}");
    let providers: Vec<&str> = lines
        .iter()
        .filter(|line| line.contains('\t') && !line.starts_with('#'))
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert!(providers.is_sorted(), "the providers are in order");
    assert!(providers.len() > 900, "{}", providers.len());
    assert!(EMBEDDED.len() < 70_000, "{} bytes", EMBEDDED.len());
    for provider in providers {
        assert_eq!(providers::known(provider), Some(provider), "no alias takes it for another, and it is known");
    }
}

#[test]
fn a_file_stands_before_the_table_or_in_its_place() {
    let line = "openai\tgpt-4o\t\t7\t8\n";
    let mine = Some(1000 * 7_000_000 + 100 * 8_000_000);
    let extends = Prices::extended(&format!("{FIRST}{line}")).unwrap();
    let replaces = Prices::extended(&format!("openclaw-trace prices 1 replaces\r\n\r\n# mine\r\n{line}")).unwrap();
    assert_eq!(cost(&extends, call("openai", "gpt-4o")), mine);
    assert_eq!(cost(&replaces, call("openai", "gpt-4o")), mine);
    assert!(cost(&extends, call("openai", "gpt-5")).is_some());
    assert_eq!(cost(&replaces, call("openai", "gpt-5")), None);
    let version = |prices: &Prices, model| {
        let mut trace = call("openai", model);
        assert_eq!(prices.fill(&mut trace), Filled::Priced);
        trace.price_version.unwrap().to_string()
    };
    assert!(version(&extends, "gpt-4o").starts_with("file "));
    assert_eq!(version(&extends, "gpt-5"), Prices::embedded().version());
    assert_ne!(version(&extends, "gpt-4o"), version(&replaces, "gpt-4o"), "another file has another name");
    assert_eq!(extends.version(), format!("{}, {}", version(&extends, "gpt-4o"), Prices::embedded().version()));
    assert!(Prices::off() == Prices::off() && Prices::off() != Prices::embedded() && extends != replaces);
}

#[test]
fn a_file_may_name_any_provider_and_several_prices_of_one_model() {
    let prices = Prices::extended(
        "openclaw-trace prices 1 replaces\n\
         moonshot\tkimi-*\t\t1\t2\n\
         *\tmine !mine-free* mine-*\t\t4\t5\n\
         # from the new year on\n\
         *\t\"\t2027-01-01\t6\t7\n\
         *\t\"\tbatch\t2\t2.5\n\
         vendor\tmine\t\t9\t9\n\
         *\tlast\t\t1\t1\n",
    );
    let prices = prices.unwrap();
    let of = |provider, model| cost(&prices, call(provider, model));
    assert_eq!(of("moonshot_ai", "kimi-k9"), Some(1000 * 1_000_000 + 100 * 2_000_000));
    assert_eq!(of("", "mine-7"), Some(1000 * 4_000_000 + 100 * 5_000_000));
    assert_eq!(of("x", "mine-free-1"), None);
    assert_eq!(of("x", "mine"), Some(1000 * 4_000_000 + 100 * 5_000_000));
    assert_eq!(of("Vendor", "mine"), Some(1000 * 9_000_000 + 100 * 9_000_000));
    assert_eq!(of("vendor", "last"), Some(1000 * 1_000_000 + 100 * 1_000_000));
    let later = LlmTrace { timestamp_ms: day_ms("2027-01-01"), ..call("", "mine") };
    assert_eq!(cost(&prices, later), Some(1000 * 6_000_000 + 100 * 7_000_000));
    let batch = LlmTrace { service_tier: Some("batch".into()), ..call("", "mine") };
    assert_eq!(cost(&prices, batch), Some(1000 * 2_000_000 + 100 * 2_500_000));
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place() {
    for (lines, line, column, wanted, found) in [
        ("openai\n", 2, 7, "a tab, and the names of models", ""),
        ("openai gpt-4o 3 15\n", 2, 7, "a tab, and the names of models", " gpt-4o 3 15"),
        ("open ai\tm\t\t1\t2\n", 2, 1, "the name of a provider", "open ai"),
        ("\tm\t\t1\t2\n", 2, 1, "the name of a provider", ""),
        ("OpenAI\tm\t\t1\t2\n", 2, 1, "in lower case", "OpenAI"),
        ("p\tm\t\t1\t2\np\t\t\t1\n", 3, 3, "a name in lower case", ""),
        ("p\tm N\t\t1\t2\n", 2, 5, "a name in lower case", "N"),
        ("p\ta*b\t\t1\t2\n", 2, 3, "* stands at an end only", "a*b"),
        ("p\tm m\t\t1\t2\n", 2, 5, "no line above has", "m"),
        ("p\tm\t\t1\t2\nq\tm\t\t1\np\tm\t\t1\n", 4, 3, "no line above has", "m"),
        ("p\t\"\t\t1\t2\n", 2, 3, "no line above that is for the same provider", "\""),
        ("p\tm\t\t1\nq\t\"\t\t1\t2\n", 3, 3, "no line above that is for the same provider", "\""),
        ("p\tm\tsoon!\t1\t2\n", 2, 5, "a tier of service", "soon!"),
        ("p\tm\tbatch 2026-13-01\t1\t2\n", 2, 11, "a day (2026-10-14)", "2026-13-01"),
        ("p\tm\t\tthree\t2\n", 2, 6, "a price in US dollars", "three"),
        ("p\tm\t\t3\t-15\n", 2, 8, "a price in US dollars", "-15"),
        ("p\tm\t\t3\t1.2345678\n", 2, 8, "at most six decimals", "1.2345678"),
        ("p\tm\t\t1000001\t1\n", 2, 6, "at most 1000000", "1000001"),
        ("p\tm\t\t3>200k:6\t15\n", 2, 8, "a number of tokens", "200k:6"),
        ("p\tm\t\t3>200000\t15\n", 2, 8, "a colon", "200000"),
        ("p\tm\t\t3>2:6>1:7\t15\n", 2, 12, "above that of the tier before", "1:7"),
        ("p\tm\t\t\t15\n", 2, 7, "nothing, where the prompt has no price", "15"),
        ("p\tm\t\t1\t2\t3\t4\t5\tsmell\n", 2, 16, "audio, image, search, video", "smell"),
        ("p\tm\t\t1\t2\t3\t4\t5\tsearch\t6\n", 2, 23, "at most nine columns", "6"),
        ("é\tü x\t\tö\t2\n", 2, 8, "a price in US dollars", "ö"),
    ] {
        let told = faults(lines);
        let (l, c, w, f) = &told[0];
        assert_eq!((*l, *c, &**f), (line, column, found), "{lines:?}: {told:?}");
        assert!(w.contains(wanted), "{lines:?}: {w}");
        assert_eq!(told.len(), 1, "{lines:?}: {told:?}");
    }
}

#[test]
fn all_faults_are_told_at_once_and_not_more_than_anybody_reads() {
    let told = faults("p\tm\t\tx\ty\nOpenAI\tM\tNow\t1\t2\n");
    let places: Vec<(usize, usize)> = told.iter().map(|(line, column, _, _)| (*line, *column)).collect();
    assert_eq!(places, [(2, 6), (2, 8), (3, 1), (3, 8), (3, 10)]);
    assert_eq!(faults(&"x\n".repeat(1000)).len(), 50);
    let long = faults(&format!("p\tm\t\t{}\n", "9".repeat(1000)));
    assert!(long[0].3.len() <= 40);
    let shown = Prices::extended("p\tm\t\t1\t2\n").unwrap_err();
    assert_eq!(
        shown[0].to_string(),
        "line 1, column 1: expected `openclaw-trace prices 1 extends` or `openclaw-trace prices 1 replaces`, \
         got \"p\\tm\\t\\t1\\t2\""
    );
    for file in ["", "\n", "openclaw-trace prices 2 extends", "openclaw-trace prices 1 "] {
        assert_eq!(Prices::extended(file).unwrap_err().len(), 1, "{file:?}");
    }
    let large = format!("{FIRST}{}", "#\n".repeat(FILE_BYTES_MAX));
    assert!(Prices::extended(&large).unwrap_err()[0].wanted.contains("1048576 bytes"));
    assert!(Prices::extended("\u{feff}openclaw-trace prices 1 extends").is_ok());
}
