import json

from data_prep.journal import Journal

STAMPS = {'a': [1, 10], 'b': [2, 20], 'ä': [3, 30]}


def test_reads_back_in_any_order(tmp_path):
    journal = Journal(tmp_path / 'j', STAMPS)
    journal.add([('b', [['b1', 1], ['b2', 2]]), ('ä', [['ä1', 3]])])
    journal.add([('a', [])])
    journal.close()
    again = Journal(tmp_path / 'j', STAMPS)
    assert list(again.done) == ['b', 'ä', 'a']
    assert list(again.records(['ä', 'other', 'a', 'b'])) == [['ä1', 3], ['b1', 1], ['b2', 2]]
    again.close()


def test_a_torn_line_is_forgotten_and_written_over(tmp_path):
    journal = Journal(tmp_path / 'j', STAMPS)
    journal.add([('a', [[1]])])
    journal.close()
    whole = (tmp_path / 'j').read_bytes()
    with open(tmp_path / 'j', 'ab') as file:
        file.write(json.dumps({'source': 'b', 'stamp': STAMPS['b'], 'records': [[2]]}).encode()[:-3])
    journal = Journal(tmp_path / 'j', STAMPS)
    assert list(journal.done) == ['a'] and (tmp_path / 'j').read_bytes() == whole
    journal.add([('b', [[3]])])
    assert list(journal.records(['a', 'b'])) == [[1], [3]]
    journal.close()


def test_changed_and_vanished_sources_are_forgotten_until_done_again(tmp_path):
    journal = Journal(tmp_path / 'j', STAMPS)
    journal.add([('a', [['a1', 0]]), ('b', [['b1', 0], ['b2', 0]]), ('ä', [['ä1', 0]])])
    journal.close()
    journal = Journal(tmp_path / 'j', {'a': [1, 10], 'b': [2, 21]})
    assert list(journal.done) == ['a']
    journal.add([('b', [['b1', 5]])])
    journal.close()
    journal = Journal(tmp_path / 'j', {'a': [1, 10], 'b': [2, 21]})
    assert sorted(journal.done) == ['a', 'b']
    assert list(journal.records('ab')) == [['a1', 0], ['b1', 5]]
    journal.close()
