// Verifies access tokens as a long-running Java service would, with nothing but the JDK: its own
// cryptography over a caching JWKS client, knowing only the issuer address. The client keeps keys
// as Java's usual library does by default: for five minutes, whatever the answer's max-age, and an
// unknown kid makes it ask again, at most once in 30 seconds.
//
// java VerifyStream.java ISSUER AUDIENCE says "ready", then reads a token a line, and at the end
// of its input prints what became of them as one line of JSON.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.RSAPublicKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;

public final class VerifyStream {
    public static void main(String[] arguments) throws Exception {
        String issuer = arguments[0];
        Web web = new Web();
        Map<?, ?> metadata = web.get(issuer + "/.well-known/openid-configuration");
        if (!issuer.equals(metadata.get("issuer"))) {
            throw new IOException("the metadata are those of " + metadata.get("issuer"));
        }
        KeySet keys = new KeySet(web, (String) metadata.get("jwks_uri"));
        Verifier verifier = new Verifier(keys, issuer, arguments[1]);
        System.out.println("ready");

        int verified = 0;
        int failed = 0;
        List<String> failures = new ArrayList<>();
        TreeSet<String> kids = new TreeSet<>();
        BufferedReader lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String token = lines.readLine(); token != null; token = lines.readLine()) {
            try {
                kids.add(verifier.verify(token));
                verified += 1;
            } catch (Refusal | GeneralSecurityException | IllegalArgumentException error) {
                failed += 1;
                if (failures.size() < 5) {
                    failures.add(error.getClass().getSimpleName() + ": " + error.getMessage());
                }
            }
        }
        System.out.printf(
            "{\"client\":%s,\"verified\":%d,\"failed\":%d,\"first_failures\":%s,\"kids\":%s,"
                + "\"jwks_fetches\":%d}%n",
            Json.write("a small caching client on JDK " + System.getProperty("java.version")),
            verified, failed, Json.write(failures), Json.write(kids), keys.fetches);
    }
}

/** Why a token is not taken. */
final class Refusal extends Exception {
    Refusal(String message) {
        super(message);
    }
}

/** Checks signature, algorithm, issuer, audience and expiry. */
record Verifier(KeySet keys, String issuer, String audience) {
    /** Returns the kid of a good token. */
    String verify(String token) throws Refusal, GeneralSecurityException, IOException {
        String[] parts = token.split("\\.", -1);
        if (parts.length != 3) {
            throw new Refusal("not three parts");
        }
        Map<?, ?> header = (Map<?, ?>) Json.read(text(parts[0]));
        if (!"RS256".equals(header.get("alg"))) {
            throw new Refusal("the algorithm is " + header.get("alg"));
        }
        String kid = (String) header.get("kid");
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initVerify(keys.find(kid));
        signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
        if (!signature.verify(Base64.getUrlDecoder().decode(parts[2]))) {
            throw new Refusal("the signature is wrong");
        }
        Map<?, ?> claims = (Map<?, ?>) Json.read(text(parts[1]));
        if (!issuer.equals(claims.get("iss"))) {
            throw new Refusal("the issuer is " + claims.get("iss"));
        }
        Object aud = claims.get("aud");
        if (!audience.equals(aud) && !(aud instanceof List<?> list && list.contains(audience))) {
            throw new Refusal("the audience is " + aud);
        }
        if (!(claims.get("exp") instanceof Double exp) || exp <= Instant.now().getEpochSecond()) {
            throw new Refusal("it expired at " + claims.get("exp"));
        }
        return kid;
    }

    private static String text(String part) {
        return new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8);
    }
}

/** The issuer's public keys, fetched when need be. */
final class KeySet {
    private static final Duration LIFETIME = Duration.ofMinutes(5);
    private static final Duration BETWEEN_FETCHES = Duration.ofSeconds(30);

    private final Web web;
    private final String uri;
    private Map<String, PublicKey> keys = Map.of();
    private long fetchedAt;
    int fetches;

    KeySet(Web web, String uri) {
        this.web = web;
        this.uri = uri;
    }

    PublicKey find(String kid) throws Refusal, GeneralSecurityException, IOException {
        if (fetches == 0 || isOlderThan(LIFETIME)) {
            fetch();
        }
        if (!keys.containsKey(kid) && isOlderThan(BETWEEN_FETCHES)) {
            fetch();
        }
        PublicKey key = keys.get(kid);
        if (key == null) {
            throw new Refusal("no key is called " + kid);
        }
        return key;
    }

    private boolean isOlderThan(Duration age) {
        return System.nanoTime() - fetchedAt > age.toNanos();
    }

    private void fetch() throws GeneralSecurityException, IOException {
        fetches += 1;
        Map<String, PublicKey> fetched = new HashMap<>();
        for (Object item : (List<?>) web.get(uri).get("keys")) {
            Map<?, ?> jwk = (Map<?, ?>) item;
            if ("RSA".equals(jwk.get("kty"))) {
                RSAPublicKeySpec spec = new RSAPublicKeySpec(number(jwk, "n"), number(jwk, "e"));
                PublicKey key = KeyFactory.getInstance("RSA").generatePublic(spec);
                fetched.put((String) jwk.get("kid"), key);
            }
        }
        keys = fetched;
        fetchedAt = System.nanoTime();
    }

    private static BigInteger number(Map<?, ?> jwk, String member) {
        return new BigInteger(1, Base64.getUrlDecoder().decode((String) jwk.get(member)));
    }
}

/** Reads JSON from an address. */
final class Web {
    private final HttpClient http = HttpClient.newBuilder().build();

    Map<?, ?> get(String uri) throws IOException {
        HttpRequest request =
            HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(10)).build();
        try {
            HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException(uri + " answers " + answer.statusCode());
            }
            return (Map<?, ?>) Json.read(answer.body());
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }
}

/** As much JSON as is needed: maps, lists, strings, doubles, booleans and null. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value();
        if (json.peek() != '\0') {
            throw json.wrong();
        }
        return value;
    }

    static String write(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ") + "\"";
    }

    static String write(Iterable<String> texts) {
        List<String> written = new ArrayList<>();
        texts.forEach(text -> written.add(write(text)));
        return written.stream().collect(Collectors.joining(",", "[", "]"));
    }

    private Object value() {
        switch (peek()) {
            case '{':
                Map<String, Object> map = new HashMap<>();
                for (char next = open('}'); next != '}'; next = separator('}')) {
                    String name = string();
                    take(':');
                    map.put(name, value());
                }
                return map;
            case '[':
                List<Object> list = new ArrayList<>();
                for (char next = open(']'); next != ']'; next = separator(']')) {
                    list.add(value());
                }
                return list;
            case '"':
                return string();
            default:
                return word();
        }
    }

    /** Steps into a map or list; returns its end if it is empty. */
    private char open(char end) {
        at += 1;
        return peek() == end ? text.charAt(at++) : ',';
    }

    private char separator(char end) {
        char next = peek();
        if (next != ',' && next != end) {
            throw wrong();
        }
        at += 1;
        return next;
    }

    private Object word() {
        int start = at;
        while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) {
            at += 1;
        }
        String word = text.substring(start, at);
        return switch (word) {
            case "true" -> true;
            case "false" -> false;
            case "null" -> null;
            default -> Double.valueOf(word);
        };
    }

    private String string() {
        take('"');
        StringBuilder string = new StringBuilder();
        while (at < text.length() && text.charAt(at) != '"') {
            char next = text.charAt(at++);
            string.append(next == '\\' ? escaped() : next);
        }
        take('"');
        return string.toString();
    }

    private char escaped() {
        char next = at < text.length() ? text.charAt(at++) : '\0';
        switch (next) {
            case 'b': return '\b';
            case 'f': return '\f';
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case 'u':
                if (at + 4 > text.length()) {
                    throw wrong();
                }
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default: return next;
        }
    }

    private void take(char expected) {
        if (peek() != expected) {
            throw wrong();
        }
        at += 1;
    }

    /** The next character that is no space; NUL at the end. */
    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at += 1;
        }
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("no JSON at " + at);
    }
}
