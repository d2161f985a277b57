use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// The fields of a block, as text.
fn read(table: &mut Table, block: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut fields = Vec::new();
    table.read(block, &mut |field| {
        let value = field.value.map_or("?".into(), String::from_utf8_lossy);
        fields.push(format!("{:?}={value}", field.name));
    })?;
    Ok(fields)
}

const FIRST: [&str; 4] = [
    "Method=GET",
    "Other=http",
    "Path=/",
    "Authority=www.example.com",
];

#[test]
fn requests_of_the_standard_are_read() {
    // RFC 7541, appendix C.3 without and C.4 with the Huffman code.
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let huffman = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut table = Table::default();
        assert_eq!(read(&mut table, &hex(blocks[0])).unwrap(), FIRST);
        assert_eq!(table.octets, 57);
        let second = read(&mut table, &hex(blocks[1])).unwrap();
        assert_eq!(second[3..], ["Authority=www.example.com", "Other="]);
        assert_eq!(table.octets, 110);
        let third = read(&mut table, &hex(blocks[2])).unwrap();
        assert_eq!(
            third[1..4],
            [
                "Other=https",
                "Path=/index.html",
                "Authority=www.example.com"
            ]
        );
        assert_eq!(table.octets, 164);
    }
}

#[test]
fn answers_of_the_standard_are_read_with_a_table_that_overflows() {
    // RFC 7541, appendix C.6, with a table of 256 octets.
    let blocks = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    let mut table = Table {
        limit: 256,
        ..Table::default()
    };
    let statuses = blocks.map(|block| read(&mut table, &hex(block)).unwrap()[0].clone());
    assert_eq!(statuses, ["Status=302", "Status=307", "Status=200"]);
    assert_eq!(table.octets, 215);
    assert_eq!(table.entries.len(), 3);
}

#[test]
fn after_a_gap_only_what_was_said_in_full_is_known() {
    let mut table = Table::default();
    read(&mut table, &hex("828684410f7777772e6578616d706c652e636f6d")).unwrap();
    table.forget();
    // 0xbe refers to the newest entry, which nobody knows any more.
    assert_eq!(read(&mut table, &hex("828684be")).unwrap()[3], "Unknown=?");
    // A path with the name of an entry, then one with that of an unknown one.
    let named = [&hex("4404")[..], b"/abc"].concat();
    assert_eq!(read(&mut table, &named).unwrap(), ["Path=/abc"]);
    assert_eq!(
        read(&mut table, &hex("bebf")).unwrap(),
        ["Path=/abc", "Unknown=?"]
    );
    let unknown = [&hex("7f0002")[..], b"xy"].concat();
    assert_eq!(read(&mut table, &unknown).unwrap(), ["Unknown=xy"]);
    // Its place is taken, so that the one before has moved.
    assert_eq!(
        read(&mut table, &hex("bebf")).unwrap(),
        ["Unknown=xy", "Path=/abc"]
    );
}

#[test]
fn a_table_that_is_emptied_or_made_smaller_forgets() {
    let mut table = Table::default();
    read(&mut table, &[&hex("4404")[..], b"/abc"].concat()).unwrap();
    assert_eq!(read(&mut table, &hex("20be")).unwrap(), ["Unknown=?"]);
    read(&mut table, &[&hex("3fe11f4404")[..], b"/abc"].concat()).unwrap();
    assert_eq!(table.limit, 4096);
    assert_eq!(read(&mut table, &hex("be")).unwrap(), ["Path=/abc"]);
    // Larger than ours: what does not fit is unknown, and nothing else.
    let mut block = hex("3fe1ff03");
    for number in 0..300 {
        block.extend(hex("4464"));
        block.extend(format!("/{number:099}").bytes());
    }
    read(&mut table, &block).unwrap();
    assert_eq!(table.limit, TABLE_OCTETS);
    assert!(table.octets <= TABLE_OCTETS && table.octets > TABLE_OCTETS - 200);
    let newest = read(&mut table, &hex("be")).unwrap();
    assert!(newest[0].ends_with("0299"), "{newest:?}");
    assert_eq!(read(&mut table, &hex("ffa001")).unwrap(), ["Unknown=?"]);
    assert!(table.memory() <= 4 * TABLE_OCTETS, "{}", table.memory());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut table = Table {
        limit: 64,
        ..Table::default()
    };
    read(&mut table, &[&hex("4404")[..], b"/abc"].concat()).unwrap();
    read(&mut table, &[&hex("4440")[..], &[b'x'; 64]].concat()).unwrap();
    assert_eq!((table.entries.len(), table.octets), (0, 0));
}

#[test]
fn what_is_no_block_is_an_error_and_the_table_knows_nothing_after_it() {
    for wrong in [
        "80",
        "ff",
        "ffffffffff7f",
        "44",
        "4404",
        "440461",
        "00",
        "0003616263",
        "4481ff00",
        "4484ffffffff",
        "3fffffffffff",
    ] {
        let mut table = Table::default();
        read(&mut table, &[&hex("4404")[..], b"/abc"].concat()).unwrap();
        assert_eq!(read(&mut table, &hex(wrong)), Err(Malformed), "{wrong}");
        assert_eq!(table.entries.len(), 0);
    }
}

#[test]
fn long_values_are_cut_and_values_of_other_names_are_not_kept() {
    let mut table = Table::default();
    // authorization: 24 octets.
    let block = [&hex("5718")[..], b"Bearer s3cr3t-s3cr3t-abc"].concat();
    assert_eq!(read(&mut table, &block).unwrap(), ["Other="]);
    assert!(!format!("{table:?}").contains("115, 51"), "s3 is nowhere");
    let long = [&hex("04ffff02")[..0], &hex("047f8114")[..], &[b'p'; 2688]].concat();
    let fields = read(&mut table, &long).unwrap();
    assert_eq!(fields[0].len(), "Path=".len() + VALUE_OCTETS);
}

#[test]
fn every_octet_survives_the_huffman_code() {
    // All octets, each encoded by the lengths alone.
    let mut codes: Vec<(u8, u16)> = (0..257_u16)
        .map(|symbol| (length_of(symbol), symbol))
        .collect();
    codes.sort_unstable();
    let (mut next, mut last) = (0_u64, 0);
    let mut by_symbol = vec![(0, 0); 257];
    for (length, symbol) in codes {
        next <<= length - last;
        last = length;
        by_symbol[usize::from(symbol)] = (next, length);
        next += 1;
    }
    assert_eq!(by_symbol[usize::from(b'a')], (3, 5));
    assert_eq!(by_symbol[256], (0x3fff_ffff, 30));
    let text: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let mut bits: Vec<u8> = Vec::new();
    for octet in &text {
        let (code, length) = by_symbol[usize::from(*octet)];
        bits.extend((0..length).rev().map(|bit| (code >> bit & 1) as u8));
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    let octets: Vec<u8> = bits
        .chunks(8)
        .map(|bits| bits.iter().fold(0, |all, bit| all << 1 | bit))
        .collect();
    assert_eq!(huffman::decode(&octets, 1000), Some((text.clone(), 512)));
    assert_eq!(
        huffman::decode(&octets, 10),
        Some((text[..10].to_vec(), 512))
    );
    // Padding of zeros, of more than seven bits, and EOS are errors.
    assert_eq!(huffman::decode(&[0x18], 9), None);
    assert_eq!(huffman::decode(&[0x1f, 0xff], 9), None);
    assert_eq!(huffman::decode(&[0xff, 0xff, 0xff, 0xff], 9), None);
    assert_eq!(huffman::decode(&[0x1f], 9), Some((b"a".to_vec(), 1)));
    assert_eq!(huffman::decode(&[], 9), Some((vec![], 0)));
}

/// Length of a symbol's code, found by decoding: as many bits as it takes.
fn length_of(symbol: u16) -> u8 {
    huffman::LENGTHS[usize::from(symbol)]
}
