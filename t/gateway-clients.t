#!/usr/bin/perl

# Typical clients of cPanel's login, with a real gateway over TLS: the answers must
# contain what each client needs.

use strict;
use warnings;
use lib 't/lib';
use Clients qw(has run_client);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'The gateway needs Plack, HTML::Template and IO::Socket::SSL'
    if !eval { require HTML::Template; require HTTP::Server::PSGI; require IO::Socket::SSL; 1 };

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => 'secret' },
    gateway  => sub {
        my ($env) = @_;
        my $body  = do { local $/ = undef; readline $env->{'psgi.input'} };
        my $text  = join q{ }, 'PANEL', @{$env}{qw(REQUEST_METHOD REMOTE_USER PATH_INFO)},
            length $body;
        return [ 200, [ 'Content-Type' => 'text/plain' ], ["$text\n"] ];
    },
);
my $ca   = $site->certificate;
my %have = Cpanel::LogMeIn::settings();
my $base = "https://localhost:$have{'port.cpanel'}";
my $dir  = $site->dir;

# Writes a script to a file, for an interpreter.
sub run_script {
    my ( $name, $text, @command ) = @_;
    $site->write_file( "$dir/$name", $text );
    return run_client( @command, "$dir/$name", $base, $ca );
}

SKIP: {
    skip 'curl is not installed' if !has('curl --version');
    my @curl = ( 'curl', '-sS', '--cacert', $ca );
    my $jar  = "$dir/jar";

    # The recipe with a cookie jar, and the token cut out of the JSON text
    my $out = run_client( @curl, '-c', $jar, '--data', 'user=alice&pass=secret',
        "$base/login/?login_only=1" );
    like( $out, qr/\A\{"status":1,"redirect":"/, 'curl: compact JSON, status first' );
    my ($token) = $out =~ /"security_token":"(\/cpsess\d+)"/;
    is(
        run_client( @curl, '-b', $jar, "$base$token/execute/x" ),
        "PANEL GET alice /execute/x 0\n",
        '... the jar and the token open the panel'
    );

    # The form, with redirects followed
    $out = run_client( @curl, '-L', '-c', $jar, '--data', 'user=alice&pass=secret&goto_uri=%2fmail',
        "$base/login/" );
    is(
        $out,
        "PANEL GET alice /mail 0\n",
        '... a form leads to the panel, as a GET without a body'
    );

    # Headers and body without following redirects
    $out = run_client( @curl, '-i', '--data', 'user=alice&pass=secret', "$base/login/" );
    my ($second) = $out =~ m{^Location: ([^\r]*)}mi;
    is( ( split m{/}, $second )[0], q{}, '... Location begins with a slash' );
    like( ( split m{/}, $second )[1], qr/\Acpsess\d{10}\z/,
        '... and its second part is the token' );
    like(
        $out,
        qr{<meta http-equiv="refresh" content="2;URL=/cpsess\d{10}/">}i,
        '... META refresh'
    );
    like(
        $out,
        qr/^Set-Cookie: cpsession=[^\r]*\r\n(?:(?!Set-Cookie).*\r\n)*?Set-Cookie: cprelogin=no;/mi,
        '... the session cookie, then its companion'
    );

    # Refusals can be recognized by the status alone
    for my $case ( [ 'user=alice&pass=wrong', 401 ], [ 'pass=secret', 401 ], [ 'user=a/b', 400 ] ) {
        my ( $form, $status ) = @{$case};
        is(
            run_client(
                @curl, '-o', '/dev/null', '-w', '%{http_code}', '--data', $form,
                "$base/login/?login_only=1"
            ),
            $status,
            "... $form is answered with $status"
        );
    }

    # A login URL, opened with a cookie jar
    my $url = login_ok( { goto_uri => '/mail' }, 'a login URL' );
    is(
        run_client( @curl, '-L', '-c', $jar, $url ),
        "PANEL GET alice /mail 0\n",
        '... opens in curl'
    );
    is(
        run_client( @curl, '-L', '-b', $jar, $url ),
        "PANEL GET alice /mail 0\n",
        '... again with its jar'
    );
    like(
        run_client( @curl, '-A', 'Other', '-L', $url ),
        qr/This link has been used/,
        '... but not without'
    );
    $url = login_ok( {}, 'another one' ) =~ s{\?}{login/?}r;
    is(
        run_client( @curl, '-L', '-c', $jar, "$url&goto_uri=mail/x" ),
        "PANEL GET alice /mail/x 0\n",
        '... with goto_uri put on by the client'
    );
}

SKIP: {
    skip 'PHP with curl is not installed'
        if !has(q{php -r 'exit(function_exists("curl_init") ? 0 : 1);'});
    my $out = run_script( 'client.php', <<'PHP', 'php' );
<?php
list(, $base, $ca) = $argv;
function fetch($url, $ca, $post, $cookies) {
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_CAINFO => $ca, CURLOPT_RETURNTRANSFER => true, CURLOPT_HEADER => true,
        CURLOPT_COOKIE => $cookies,
    ]);
    if ($post) curl_setopt($curl, CURLOPT_POSTFIELDS, $post);
    $answer = curl_exec($curl);
    if ($answer === false) die(curl_error($curl));
    return explode("\r\n\r\n", $answer, 2);
}
# The token from the second part of Location, both cookies from their header lines.
list($head, $body) = fetch("$base/login/", $ca, http_build_query(['user' => 'alice', 'pass' => 'secret']), '');
preg_match('/^Location: (.*?)\r?$/mi', $head, $location);
$token = explode('/', $location[1])[1];
preg_match_all('/^Set-Cookie: ([^;]*)/mi', $head, $cookies);
if (!preg_grep('/^cprelogin=no$/', $cookies[1])) die("no relogin cookie\n");
list($head, $body) = fetch("$base/$token/json-api/x", $ca, null, implode('; ', $cookies[1]));
echo $body;
# JSON, decoded; the cookie pasted into a URL.
list($head, $body) = fetch("$base/login/?login_only=1", $ca, http_build_query(['user' => 'alice', 'pass' => 'secret']), '');
$answer = json_decode($body);
if ($answer->status !== 1) die("no status\n");
preg_match('/session=([^;]+)/', $head, $session);
echo "$base$answer->security_token/login/?session=$session[1]&goto_uri=%2fmail\n";
PHP
    like( $out, qr{\APANEL GET alice /json-api/x 0\n}, 'PHP: Location and cookies open the panel' );
    my ($url) = $out =~ /^(https:.*)$/m;
    like(
        run_client( 'curl', '-sS', '-L', '-c', "$dir/jar2", '--cacert', $ca, $url // 'none' ),
        qr{\APANEL GET alice /mail 0\n},
        '... and a cookie pasted into a URL opens it in a browser'
    );
}

SKIP: {
    skip 'Python with requests is not installed' if !has('python3 -c "import requests"');
    my $out = run_script( 'client.py', <<'PYTHON', 'python3' );
import re, sys
import requests
base, ca = sys.argv[1:]
# A session object, as most scripts use it.
client = requests.Session()
client.verify = ca
answer = client.post(base + "/login/?login_only=1", data={"user": "alice", "pass": "secret", "goto_uri": "/x"})
answer.raise_for_status()
token = answer.json()["security_token"]
print(client.get(base + token + "/execute/Email/list", allow_redirects=False).text, end="")
# A client that follows the META element, and sends the cookies by hand.
answer = requests.post(base + "/login/", data={"user": "alice", "pass": "secret"}, verify=ca, allow_redirects=False)
target = re.search(r"URL=([^\"]+)\"", answer.text).group(1)
cookies = "; ".join(c.split(";")[0] for c in answer.headers["Set-Cookie"].split(", "))
print(requests.get(base + target + "index.html", headers={"Cookie": cookies}, verify=ca).text, end="")
answer = requests.post(base + "/login/?login_only=1", data={"user": "alice", "pass": "no"}, verify=ca)
print(answer.status_code, answer.json()["message"])
PYTHON
    is(
        $out,
        "PANEL GET alice /execute/Email/list 0\nPANEL GET alice /index.html 0\n401 see_login_log\n",
        'Python: a session object; META refresh and cookies by hand; a refusal'
    );
}

# Perl, with core modules; TLS is IO::Socket::SSL's, as before
{
    require HTTP::Tiny;
    my $client = HTTP::Tiny->new(
        verify_SSL   => 1,
        SSL_options  => { SSL_ca_file => $ca },
        max_redirect => 0,
    );
    my $answer = $client->post_form( "$base/login/?login_only=1",
        { user => 'alice', pass => 'secret', goto_uri => q{/}, active_token_for_reuse => 0 } );
    my @cookies = @{ $answer->{headers}{'set-cookie'} };
    my ($first) = grep { /session=/ } @cookies;
    my ($value) = $first =~ /session=([^;]+)/;
    unlike( $value, qr/[,; :]/, 'Perl: the cookie is percent-encoded already' );
    like(
        $first,
        qr/\Acpsession=[^;]+; HttpOnly; path=\/; port=\d+/,
        '... and its port attribute is in the expected position'
    );
    my ($token) = $answer->{content} =~ /"security_token":"([^"]+)"/;
    my $page = $client->get("$base$token/login/?session=$value");
    is( $page->{status},            302,       '... pasted into a URL it opens' );
    is( $page->{headers}{location}, "$token/", '... the home page' );
    like(
        $client->get("$base$token/login/?session=$value")->{content},
        qr/"cpsession|refresh|has been used/,
        '... and the same client may follow it twice'
    );
    is( $client->get("$base/login/")->{status},
        200, 'control: without a login there is only the page' );
    is( $client->get("$base/cpsess0123456789/x")->{status}, 401, '... and no panel' );
}

# The certificate is the site's own: a client that does not trust it can't log in
isnt( HTTP::Tiny->new( verify_SSL => 1 )->get("$base/login/")->{status},
    200, 'a client that does not know the certificate is not served' );

done_testing();
