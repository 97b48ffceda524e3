# The wrong file is called what it is, and what was expected is said, in one line that names the file.
# shellcheck shell=bash disable=SC2154
m=$dir/m.gguf
t=$dir/m.tern
$tern compile "$model" --cpu ref -o "$t" 2>"$dir/err" || bad "compile: $(cat "$dir/err")"
# kind REGEX WHAT: $m holds it; every verb that takes a model says so
kind() {
    refused "run $2" 1 "$m: .*$1.*expected" $tern run "$m" -p a -n 1
    refused "compile $2" 1 "$m: .*$1.*expected" $tern compile "$m" --cpu ref -o "$dir/o.tern"
}
python3 - "$dir" <<'E2'
import gzip, struct, sys, zipfile, io
d = sys.argv[1] + "/k."
def put(name, data): open(d + name, "wb").write(data)
page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>no</body></html>\n"
put("html", page); put("html2", b"\xef\xbb\xbf \n" + page.lower()); put("html3", b"\r\n<HTML><p>gone</p>" + b" " * 80)
put("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 1187801280\n")
put("error", b'{"error":"Invalid username or password."}'); put("config", b'{"architectures": ["BitNetForCausalLM"]}')
put("tokenizer", b'{"version": "1.0", "added_tokens": []}'); put("xml", b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>')
put("empty", b""); put("six", b"\1\2\3\4\5\6"); put("zeros", bytes(4096))
put("safetensors", struct.pack("<Q", 60) + b'{"model.embed.weight":{"dtype":"F32"}}' + bytes(64))
z = io.BytesIO(); f = zipfile.ZipFile(z, "w"); f.writestr("archive/data.pkl", b"x" * 9); f.close(); put("torch", z.getvalue())
z = io.BytesIO(); f = zipfile.ZipFile(z, "w"); f.writestr("a.txt", b"x" * 9); f.close(); put("zip", z.getvalue())
put("pickle", b"\x80\x02}q\x00" + bytes(40)); put("gzip", gzip.compress(b"GGUF" * 40)); put("xz", b"\xfd7zXZ\0" + bytes(40))
put("zstd", b"\x28\xb5\x2f\xfd" + bytes(40)); put("bzip2", b"BZh91AY\x26SY\0" + bytes(40)); put("7z", b"7z\xbc\xaf\x27\x1c" + bytes(40))
put("elf", b"\x7fELF\2\1\1" + bytes(60)); put("ggjt", struct.pack("<II", 0x67676a74, 3) + bytes(60))
put("ggml", struct.pack("<I", 0x67676d6c) + bytes(60)); put("utf16", "graph step".encode("utf-16") + bytes(2))
put("be", b"FUGG" + bytes(60))
E2
while read -r name regex; do
    cp "$dir/k.$name" "$m"
    kind "$regex" "$name"
done <<'E2'
html an HTML page
html2 an HTML page
html3 an HTML page
lfs git-lfs pointer.*fetch
error error message
config config.json
tokenizer tokenizer.json
xml XML
empty empty
six shorter than
zeros zeros
safetensors safetensors
torch PyTorch
zip zip archive
pickle pickle
gzip gzip
xz xz
zstd zstd
bzip2 bzip2
7z 7z
elf ELF
ggjt GGJT
ggml GGML
utf16 UTF-16
be big-endian
E2
cp "$t" "$m"
refused "compile a blob" 1 "$m: .*already compiled.*expected a GGUF" $tern compile "$m" --cpu ref -o "$dir/o.tern"
refused "a blob as --weights" 1 "already compiled.*expected a GGUF" $tern run "$root/tests/passes/golden/dce.tir" --weights "$m" -p a
# A compiled file that went through a transfer as text.
python3 - "$t" "$dir" <<'E2'
import sys
d = open(sys.argv[1], "rb").read()
open(sys.argv[2] + "/lf.tern", "wb").write(d.replace(b"\r\n", b"\n"))
open(sys.argv[2] + "/crlf.tern", "wb").write(d.replace(b"\n", b"\r\n"))
E2
refused "CRLF became LF" 1 "lf.tern: .*damaged in transfer as text.*expected" $tern run "$dir/lf.tern" -p a
refused "LF became CRLF" 1 "crlf.tern: .*damaged in transfer as text.*expected" $tern run "$dir/crlf.tern" -p a
# A download cut short, and a part of a model.
size=$(stat -c %s "$model")
head -c $((size - 1000)) "$model" >"$m"
refused "cut short" 1 "the file has $((size - 1000)) bytes, its tensors need [0-9]+: the download was cut short" $tern run "$m" -p a
$edit "$model" "$m" split.count=u16:5 split.no=u16:1
refused "a part" 1 "part 2 of 5 .*expected a name that ends in -00002-of-00005.gguf" $tern opt "$m" --passes=
# Other inputs.
cp "$dir/k.html" "$dir/a.tir"
refused "html as a graph" 1 "a.tir: .*HTML.*expected a graph" $tern opt "$dir/a.tir"
cp "$model" "$dir/a.tir"
refused "a model called .tir" 1 "a.tir: .*GGUF.*expected a graph" $tern opt "$dir/a.tir"
refused "html in diff" 2 "k.html: .*HTML.*expected" $tern diff "$model" "$dir/k.html"
refused "html in opt" 1 "k.html: .*HTML.*expected" $tern opt "$dir/k.html"
refused "html in verify" 1 "k.html: .*HTML.*expected" $tern verify "$dir/k.html" --tokens 5
refused "html in inspect" 1 "k.html: .*HTML.*expected" $tern inspect "$dir/k.html"
refused "gzip as -f" 1 "k.gzip: .*gzip.*expected text" $tern run "$model" -f "$dir/k.gzip" $how
refused "UTF-16 as -f" 1 "k.utf16: .*UTF-16.*expected text" $tern run "$model" -f "$dir/k.utf16" $how
refused "html as token ids" 1 "k.html: .*HTML.*expected token ids" $tern run "$model" --token-file "$dir/k.html" $how
# What a blob has is said.
$tern compile "$model" --cpu ref --kv f32 -o "$dir/f32.tern" 2>"$dir/err"
given="none of its 3 graphs is for the --cpu, --kv and --rows given: it has level ref, kv f32, rows 1 and 2\.\.8 and 9\.\.512"
refused "another level" 1 "$given" $tern opt "$dir/f32.tern" --cpu avx2
refused "another batch class" 1 "$given" $tern opt "$dir/f32.tern" --rows 7..9
refused "another cache type of a graph" 1 "$given" $tern opt "$dir/f32.tern" --kv i8
refused "code for other machines" 1 "the file has code for ref, this machine runs" $tern run "$dir/f32.tern" -p a -n 1
refused "another cache type" 1 "not compiled for kv f16; its cache types are: f32" $tern run "$dir/f32.tern" -p a -n 1 --target ref
