// Verify an exported log with golang.org/x/mod/sumdb alone: signature, entries, tiles, proofs.
//
// Usage: verify_log FOLDER VKEY [-proof FILE] [-old SIZE:BASE64] [-flips COUNT]
//
// With -flips it changes single bits of the files that it reads, one at a time, and fails unless
// every one of them is noticed.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"check/note"
	"check/tlog"
)

var strict = base64.StdEncoding.Strict()

// A log is its files, held in memory.
type files map[string][]byte

func load(folder string) (files, error) {
	found := files{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if name == "checkpoint" || strings.HasPrefix(name, "tile/") {
			found[name], err = os.ReadFile(path)
		}
		return err
	})
	return found, err
}

func (f files) read(name string) ([]byte, error) {
	data, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("%s is missing", name)
	}
	return data, nil
}

// The paths of sumdb have the height of the tiles in them, those of C2SP do not.
func path(t tlog.Tile) string {
	_, rest, _ := strings.Cut(t.Path(), "tile/8/")
	return "tile/" + strings.Replace(rest, "data/", "entries/", 1)
}

func (f files) Height() int                            { return 8 }
func (f files) SaveTiles(tiles []tlog.Tile, _ [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, t := range tiles {
		data, err := f.read(path(t))
		if err != nil {
			return nil, err
		}
		if len(data) != t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", path(t), len(data))
		}
		found = append(found, data)
	}
	return found, nil
}

func checkpoint(data []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	for _, sig := range opened.Sigs {
		if _, err := strict.DecodeString(sig.Base64); err != nil {
			return tlog.Tree{}, err
		}
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := hash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func hash(text string) (tlog.Hash, error) {
	data, err := strict.DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("%q is not a hash", text)
	}
	return tlog.Hash(data), nil
}

func entries(f files, size int64) ([][]byte, error) {
	var found [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := int(min(256, size-n*256))
		name := path(tlog.Tile{H: 8, L: -1, N: n, W: width})
		data, err := f.read(name)
		if err != nil {
			return nil, err
		}
		for i := 0; i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("%s is too short", name)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			found, data = append(found, data[2:end]), data[end:]
		}
		if len(data) > 0 {
			return nil, fmt.Errorf("%s is too long", name)
		}
	}
	return found, nil
}

// Every entry must lead to the root, and every tile must hold the hashes that the entries have.
func verify(f files, verifier note.Verifier) (tlog.Tree, error) {
	data, err := f.read("checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := checkpoint(data, verifier)
	if err != nil {
		return tree, err
	}
	records, err := entries(f, tree.N)
	if err != nil {
		return tree, err
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for n, record := range records {
		hashes, err := tlog.StoredHashes(int64(n), record, reader)
		if err != nil {
			return tree, err
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		return tree, fmt.Errorf("the entries have the root %v: %v", root, err)
	}
	known := map[string]bool{"checkpoint": true}
	for _, tile := range tlog.NewTiles(8, 0, tree.N) {
		wanted, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return tree, err
		}
		data, err := f.read(path(tile))
		if err != nil || !bytes.Equal(data, wanted) {
			return tree, fmt.Errorf("%s is wrong: %v", path(tile), err)
		}
		known[path(tile)] = true
		if tile.L == 0 {
			known[strings.Replace(path(tile), "tile/0/", "tile/entries/", 1)] = true
		}
	}
	for name := range f {
		if !known[name] {
			return tree, fmt.Errorf("%s does not belong there", name)
		}
	}
	return tree, nil
}

func verifyProof(data []byte, verifier note.Verifier) error {
	head, signed, ok := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a proof with its entry")
	}
	extra, isExtra := strings.CutPrefix(lines[1], "extra ")
	number, isIndex := strings.CutPrefix(lines[2], "index ")
	index, err := strconv.ParseInt(number, 10, 64)
	record, err2 := strict.DecodeString(extra)
	if !isExtra || !isIndex || err != nil || err2 != nil {
		return errors.New("a proof without entry or index")
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		one, err := hash(line)
		if err != nil {
			return err
		}
		proof = append(proof, one)
	}
	tree, err := checkpoint([]byte(signed), verifier)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record))
}

func verifyOld(f files, tree tlog.Tree, old string) error {
	number, encoded, _ := strings.Cut(old, ":")
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	root, err := hash(encoded)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, size, tlog.TileHashReader(tree, f))
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, size, root)
}

func flip(f files, verifier note.Verifier, count int) error {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	random := rand.New(rand.NewSource(int64(sha256.Sum256(f["checkpoint"])[0])))
	for i := 0; i < count; i++ {
		name := names[random.Intn(len(names))]
		at, bit := random.Intn(len(f[name])), byte(1)<<random.Intn(8)
		f[name][at] ^= bit
		if _, err := verify(f, verifier); err == nil {
			return fmt.Errorf("bit %d of byte %d of %s may be changed", bit, at, name)
		}
		f[name][at] ^= bit
	}
	fmt.Printf("refused %d of %d\n", count, count)
	return nil
}

func main() {
	flags := flag.NewFlagSet("verify_log", flag.ExitOnError)
	proof := flags.String("proof", "", "a proof file")
	old := flags.String("old", "", "an earlier size and root")
	flips := flags.Int("flips", 0, "how many bits to change")
	flags.Parse(os.Args[3:])
	if err := run(os.Args[1], os.Args[2], *proof, *old, *flips); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func run(folder, vkey, proof, old string, flips int) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	f, err := load(folder)
	if err != nil {
		return err
	}
	tree, err := verify(f, verifier)
	if err != nil {
		return err
	}
	fmt.Printf("verified %d entries\n", tree.N)
	if old != "" {
		if err := verifyOld(f, tree, old); err != nil {
			return err
		}
		fmt.Println("verified consistency")
	}
	if proof != "" {
		data, err := os.ReadFile(proof)
		if err != nil {
			return err
		}
		if err := verifyProof(data, verifier); err != nil {
			return err
		}
		fmt.Println("verified proof")
	}
	if flips > 0 {
		return flip(f, verifier, flips)
	}
	return nil
}
