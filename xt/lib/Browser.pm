package Browser;

# Headless Chromium, controlled by WebDriver (JSON over HTTP). Each object is a
# separate profile.

use strict;
use warnings;
use Carp         qw(croak);
use HTTP::Tiny   ();
use JSON::PP     ();
use MIME::Base64 qw(decode_base64);
use POSIX        ();
use Scalar::Util qw(weaken);
use Test::More;
use Time::HiRes qw(sleep time);

my $ELEMENT  = 'element-6066-11e4-a52e-4f735466cecf';    # WebDriver's name for one
my $PATIENCE = 20;                                       # seconds

# The open browsers. At the end they are closed before their driver, which leaves them
# running.
my @open;

END {
    my $status = $?;
    $_->DESTROY for grep { defined } @open;
    $? = $status;    ## no critic (RequireLocalizedPunctuationVars)
}

# Starts the driver at a port.
sub driver {
    my ( $class, $port, $log ) = @_;
    my $pid = fork // croak "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>>', $log     or POSIX::_exit(9);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(9);
        { exec 'chromedriver', "--port=$port" }
        POSIX::_exit(9);
    }
    my $self = bless { pid => $pid, owner => $$, at => "http://127.0.0.1:$port" },
        'Browser::Driver';
    my $until = time + $PATIENCE;
    while ( time < $until ) {
        return $self if HTTP::Tiny->new->get("$self->{at}/status")->{success};
        sleep 0.1;
    }
    croak 'chromedriver does not start';
}

sub new {
    my ( $class, $driver ) = @_;
    my $self =
        bless { at => $driver->{at}, http => HTTP::Tiny->new( timeout => 60 ), owner => $$ },
        $class;
    my @options =
        ( "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1000,800" );
    push @options, '--no-sandbox' if $< == 0;
    my $answer = $self->_ask(
        POST => '/session',
        {
            capabilities => {
                alwaysMatch => {
                    browserName          => 'chrome',
                    acceptInsecureCerts  => JSON::PP::true(),
                    'goog:chromeOptions' => { args     => \@options },
                    timeouts             => { implicit => 5000 },
                }
            }
        }
    );
    $self->{session} = "/session/$answer->{sessionId}";
    $self->{pid}     = $answer->{capabilities}{'goog:processID'};
    push @open, $self;
    weaken( $open[-1] );
    return $self;
}

sub _ask {
    my ( $self, $method, $path, $data ) = @_;
    my %content = $method eq 'POST' ? ( content => JSON::PP::encode_json( $data // {} ) ) : ();
    my $answer  = $self->{http}->request(
        $method,
        $self->{at} . $path,
        { headers => { 'Content-Type' => 'application/json' }, %content }
    );
    my $value = eval { JSON::PP::decode_json( $answer->{content} )->{value} };
    croak "$method $path: $answer->{content}" if !$answer->{success};
    return $value;
}

sub _do {
    my ( $self, $what, $data ) = @_;
    return $self->_ask( POST => "$self->{session}/$what", $data );
}

sub go     { my ( $self, $url ) = @_; return $self->_do( url => { url => $url } ) }
sub reload { my ($self) = @_; return $self->_do('refresh') }
sub back   { my ($self) = @_; return $self->_do('back') }
sub url    { my ($self) = @_; return $self->_ask( GET => "$self->{session}/url" ) }

sub script {
    my ( $self, $code ) = @_;
    return $self->_do( 'execute/sync' => { script => $code, args => [] } );
}

# The visible text of the page.
sub text { my ($self) = @_; return $self->script('return document.body.innerText') }

sub _find {
    my ( $self, $css ) = @_;
    return $self->_do( element => { using => 'css selector', value => $css } )->{$ELEMENT};
}

sub click {
    my ( $self, $css ) = @_;
    my $element = $self->_find($css);
    return $self->_do("element/$element/click");
}

sub type {
    my ( $self, $css, $text ) = @_;
    my $element = $self->_find($css);
    return $self->_do( "element/$element/value" => { text => $text } );
}

sub double_click {
    my ( $self, $css ) = @_;
    my $element = $self->_find($css);
    my @press   = map { { type => $_, button => 0 } } qw(pointerDown pointerUp);
    my $move    = {
        type     => 'pointerMove',
        duration => 0,
        origin   => { $ELEMENT => $element },
        x        => 0,
        y        => 0
    };
    return $self->_do(
        actions => {
            actions => [
                {
                    type       => 'pointer',
                    id         => 'mouse',
                    parameters => { pointerType => 'mouse' },
                    actions    => [ $move, @press, @press ]
                }
            ]
        }
    );
}

# Waits for a condition of the page; false after a timeout, with the page's URL and text
# on standard error.
sub wait_for {
    my ( $self, $condition ) = @_;
    my $until = time + $PATIENCE;
    while ( time < $until ) {
        return 1 if eval { $condition->($self) };
        sleep 0.1;
    }
    my @shown = map {
        eval { $_->($self) }
    } \&url, \&text;
    diag("The browser shows: @shown");
    return;
}

# A command of the Chrome DevTools Protocol, for functions that WebDriver lacks.
sub devtools {
    my ( $self, $command, %parameters ) = @_;
    return $self->_do( 'goog/cdp/execute' => { cmd => $command, params => \%parameters } );
}

sub picture {
    my ( $self, $path ) = @_;
    my $png = $self->_ask( GET => "$self->{session}/screenshot" );
    CORE::open my $file, '>:raw', $path or croak "$path: $!";
    print {$file} decode_base64($png);
    close $file or croak "$path: $!";
    return;
}

# Some browsers stay though their driver says that they are closed.
sub close_all {
    my ($self) = @_;
    eval { $self->_ask( DELETE => delete $self->{session} ) };
    my $pid   = delete $self->{pid} // return;
    my $until = time + 2;
    sleep 0.05 while time < $until && kill 0 => $pid;
    kill KILL => $pid;
    return;
}

sub DESTROY {
    my ($self) = @_;
    local $@ = q{};
    $self->close_all if $self->{session} && $self->{owner} == $$;
    return;
}

package Browser::Driver;    ## no critic (ProhibitMultiplePackages)

use parent qw(Program);

1;
