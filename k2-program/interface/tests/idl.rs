//! The committed IDL is the one the code describes.

#[path = "../examples/idl.rs"]
mod generator;

#[test]
fn the_committed_idl_is_the_generated_one() {
    let committed = include_str!("../../idl.json");
    assert!(
        committed == generator::idl(),
        "k2-program/idl.json is not up to date: \
         cargo run -p orcapool-k2-interface --example idl > k2-program/idl.json"
    );
}

/// A layout described with a wrong size or order would make every client read garbage.
#[test]
fn fields_fill_their_layouts() {
    let idl: serde_json::Value = serde_json::from_str(&generator::idl()).unwrap_or_default();
    let accounts = idl["accounts"].as_array().map(Vec::len);
    assert_eq!(accounts, Some(11));
    fn size(idl: &serde_json::Value, kind: &serde_json::Value) -> u64 {
        if let Some(array) = kind.get("array") {
            return size(idl, &array[0]) * array[1].as_u64().unwrap_or(0);
        }
        if let Some(name) = kind.get("defined") {
            let types = idl["types"].as_array().map_or(&[][..], Vec::as_slice);
            let found = types.iter().find(|layout| layout["name"] == *name);
            return found.map_or(0, |layout| fields(idl, layout));
        }
        match kind.as_str() {
            Some("u8") => 1,
            Some("u16") => 2,
            Some("u32") => 4,
            Some("u64") => 8,
            Some("u128") => 16,
            Some("publicKey") => 32,
            _ => 0,
        }
    }
    fn fields(idl: &serde_json::Value, layout: &serde_json::Value) -> u64 {
        let fields = layout["type"]["fields"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        fields.iter().map(|field| size(idl, &field["type"])).sum()
    }
    for account in idl["accounts"].as_array().into_iter().flatten() {
        assert_eq!(
            account["size"].as_u64(),
            Some(fields(&idl, account)),
            "{}",
            account["name"]
        );
    }
}

/// The tables of `k2-program/README.md` are made of the IDL; whoever changes one has to change the other.
#[test]
fn the_readme_lists_every_instruction_and_account() {
    let idl: serde_json::Value = serde_json::from_str(&generator::idl()).unwrap_or_default();
    let readme = include_str!("../../README.md");
    for instruction in idl["instructions"].as_array().into_iter().flatten() {
        let tag = &instruction["discriminant"]["value"];
        let name = instruction["name"].as_str().unwrap_or_default();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| {tag} | `{name}` |")))
            .unwrap_or_default();
        assert!(!row.is_empty(), "{name} is missing, or has another tag");
        for part in ["accounts", "args"] {
            for one in instruction[part].as_array().into_iter().flatten() {
                let one = one["name"].as_str().unwrap_or_default();
                assert!(row.contains(one), "{name} lacks {one}");
            }
        }
    }
    for account in idl["accounts"].as_array().into_iter().flatten() {
        let name = account["name"].as_str().unwrap_or_default();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_default();
        assert!(row.contains(&format!("| {}", account["size"])), "{name}");
        for field in account["type"]["fields"]
            .as_array()
            .into_iter()
            .flatten()
            .skip(1)
        {
            let field = field["name"].as_str().unwrap_or_default();
            assert!(row.contains(field), "{name} lacks {field}");
        }
    }
}
